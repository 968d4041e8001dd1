import './require_node.cjs';

import { isUtf8 } from 'node:buffer';
import { existsSync, readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { ReadStream } from 'node:tty';
import { parseArgs } from 'node:util';

import type { Config } from '../src/core/config.ts';
import { isEmail } from '../src/core/email.ts';
import { Failure } from '../src/core/errors.ts';
import { loadConfigFiles } from '../src/core/load_config.ts';
import type { Loaded } from '../src/core/load_config.ts';
import { createPasswords } from '../src/core/passwords.ts';
import type { Passwords } from '../src/core/passwords.ts';
import { startFault } from '../src/core/start_fault.ts';
import type { Database } from '../src/db/database.ts';
import { appliedMigrations, knownMigrations } from '../src/db/init_db.ts';
import { pendingMigrations } from '../src/db/migrations.ts';
import type { User } from '../src/db/models.ts';
import { openDatabase, sqliteFile } from '../src/db/session.ts';
import * as users from '../src/db/users.ts';
import { check } from '../src/http/schema.ts';
import { newPassword } from '../src/schemas/auth.ts';
import { settingChecks } from '../src/wire/setting_checks.ts';

/** What a command was called with. */
export interface Given {
  /** The positional arguments, as many as the command takes; the last may be missing. */
  args: string[];
  has(option: string): boolean;
  value(option: string): string | undefined;
  loaded: Exclude<Loaded, { faults: string[] }>;
  config: Config;
}

/** A program for whoever runs the server. It fails with a sentence: an Error is exit code 1, a `Usage` 2. */
export interface Command {
  /** What `--help` prints; its first line is the usage. */
  help: string;
  options?: Record<string, { type: 'string' | 'boolean' }>;
  /** How many positional arguments it takes. */
  least?: number;
  most?: number;
  run(given: Given): Promise<void>;
}

export class Usage extends Error {}

/** Runs a command with the arguments and the settings of this process, which are those of a server started here. */
export async function runCommand({ help, options = {}, least = 0, most = least, run }: Command): Promise<void> {
  process.umask(0o077);
  process.stdout.on('error', () => process.exit(1)); // Whoever read it has gone.
  try {
    const { values, positionals: args } = parse(options);
    if (values['help'] === true) return say(help.trimEnd());
    if (args.length < least || args.length > most || args.includes('')) throw new Usage(help.split('\n')[0]);
    const loaded = loadConfigFiles({
      env: process.env,
      envFile: values['env-file'] as string | undefined,
      flags: {},
      readFile: (path) => readFileSync(path, 'utf8'),
      checks: settingChecks,
    });
    if ('faults' in loaded) throw new Error(loaded.faults.join('\n'));
    const value = (option: string) => values[option] as string | undefined;
    await run({ args, has: (option) => values[option] === true, value, loaded, config: loaded.config });
  } catch (error) {
    process.stderr.write(`${toSentence(error as Error)}\n`);
    process.exitCode = error instanceof Usage ? 2 : 1;
  }
}

const toSentence = ({ message, cause }: Error): string =>
  cause instanceof Error ? `${message} (${cause.message})` : message;

function parse(options: NonNullable<Command['options']>) {
  const all = { ...options, 'env-file': { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;
  try {
    const { values, positionals } = parseArgs({ options: all, allowPositionals: true });
    return { values: values as Record<string, string | boolean | undefined>, positionals };
  } catch (error) {
    throw new Usage(`${(error as Error).message.split('. ')[0]}; see --help`);
  }
}

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** The file of a SQLite database; other engines and `:memory:` have none, which `instead` says what to do about. */
export function databaseFile(config: Config, instead: string): string {
  const file = sqliteFile(config.databaseUrl);
  if (file === undefined) throw new Error(`DATABASE_URL names a PostgreSQL database: ${instead}`);
  if (file === ':memory:') throw new Error('DATABASE_URL is sqlite::memory:, which ends with the server.');
  return file;
}

export function assertIsThere(databaseFile: string): void {
  if (existsSync(databaseFile)) return;
  throw new Error(`There is no database ${databaseFile}: start the server once, or run scripts/migrate.ts.`);
}

/** Opens the database of the settings, and closes it again. One that can't be used is told of in the server's words. */
export async function withNewDatabase<T>(config: Config, work: (db: Database) => Promise<T>): Promise<T> {
  const db = await openDatabase(config, {
    monotonic: () => performance.now() * 1e6,
    onWait: () => void process.stderr.write('The database is away; waiting for it to answer.\n'),
  });
  try {
    return await work(db);
  } catch (error) {
    throw isOfDatabase(error as Error) ? new Error(startFault(error, config, sqliteFile(config.databaseUrl))) : error;
  } finally {
    await db.close();
  }
}

const isOfDatabase = (error: Error): boolean =>
  'errcode' in error || (error instanceof Failure && error.code === 'unavailable');

/** The same for one that a server has made. */
export async function withDatabase<T>(config: Config, work: (db: Database) => Promise<T>): Promise<T> {
  const file = sqliteFile(config.databaseUrl);
  if (file !== undefined) assertIsThere(file);
  return withNewDatabase(config, work);
}

/** The same for what needs every table: refuses a schema that this code does not know, or that lacks a migration. */
export const withAccounts = <T>(config: Config, work: (db: Database) => Promise<T>): Promise<T> =>
  withDatabase(config, async (db) => {
    const pending = pendingMigrations(await appliedMigrations(db), knownMigrations(db));
    if (pending.length > 0) throw new Error('The database lacks a migration: run scripts/migrate.ts.');
    return work(db);
  });

export async function userOf(db: Database, email: string): Promise<User> {
  const user = await users.byEmail(db, email);
  if (user === undefined) throw new Error(`There is no account with the address ${JSON.stringify(email)}.`);
  return user;
}

export function checkEmail(email: string): void {
  if (!isEmail(email)) throw new Usage(`${JSON.stringify(email)} is not an e-mail address.`);
}

/** The hash of a new password, asked on the terminal without echo, twice, or read from standard input to its end. */
export async function askPasswordHash(config: Config): Promise<string> {
  const password = await askPassword();
  const [fault] = check(newPassword(config.passwordMinLength), password);
  if (fault !== undefined) throw new Error(`The password ${fault.detail}.`);
  const passwords = toPasswords(config);
  try {
    return await passwords.hash(password);
  } finally {
    await passwords.close();
  }
}

const toPasswords = ({ scryptLog2N: log2N, scryptR: r, scryptP: p }: Config): Passwords =>
  createPasswords({ log2N, r, p, concurrency: 1, queue: 0 });

async function askPassword(): Promise<string> {
  const { stdin } = process;
  if (!(stdin instanceof ReadStream)) {
    const bytes = await buffer(stdin);
    if (!isUtf8(bytes)) throw new Error('The password is not UTF-8.');
    return bytes.toString().replace(/\r?\n$/, '');
  }
  const password = await askHidden(stdin, 'New password: ');
  if ((await askHidden(stdin, 'The same again: ')) !== password) throw new Error('The two passwords differ.');
  return password;
}

/** A line typed on a terminal that does not show it. Ctrl-C and Ctrl-D give up. */
function askHidden(terminal: ReadStream, prompt: string): Promise<string> {
  // Silent first: whoever answers a prompt at once must not be shown.
  terminal.setRawMode(true).setEncoding('utf8').resume();
  process.stderr.write(prompt);
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const finish = (done: () => void): void => {
      terminal.off('data', hear).setRawMode(false).pause();
      process.stderr.write('\n');
      done();
    };
    const hear = (keys: string): void => {
      for (const key of keys) {
        if (key === '\r' || key === '\n') return finish(() => resolve(typed.join('')));
        if (key === '\x03' || key === '\x04') return finish(() => reject(new Error('Given up.')));
        if (key === '\x7f' || key === '\b') typed.pop();
        else if (key === '\x15') typed = [];
        else typed.push(key);
      }
    };
    terminal.on('data', hear);
  });
}
