// Starts the server under Node's permission model and its other seat belts: `npm run start:locked`. See --help.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import type { Config } from '../src/core/config.ts';
import { loadConfigFiles } from '../src/core/load_config.ts';
import { sqliteFile } from '../src/db/session.ts';

const ROOT = path.join(import.meta.dirname, '..');

/** What the server touches, as absolute paths; a folder ends with a slash and stands for all below it. */
export interface Reach {
  read: readonly string[];
  write: readonly string[];
}

/** `files` are those that the settings were read from. */
export function reachOf(config: Pick<Config, 'databaseUrl' | 'mailUrl'>, files: readonly string[]): Reach {
  const { databaseUrl, mailUrl } = config;
  const file = sqliteFile(databaseUrl);
  const folders = [path.join(ROOT, '.cache')];
  if (file !== undefined && file !== ':memory:') folders.push(path.dirname(path.resolve(file)));
  if (mailUrl.startsWith('file:')) folders.push(path.resolve(mailUrl.slice('file:'.length)));
  const write = folders.map((folder) => `${folder}/`);
  const settings = files.map((each) => path.resolve(each));
  return { read: [path.join(ROOT, 'src/'), path.join(ROOT, 'package.json'), ...settings, ...write], write };
}

/** The flags of Node, for those that this Node knows: 26 asks for the network, 24 does not confine it. */
export function lockedFlags({ read, write }: Reach, known: ReadonlySet<string>): string[] {
  return [
    '--permission',
    '--allow-worker',
    ...(known.has('--allow-net') ? ['--allow-net'] : []),
    ...read.map((each) => `--allow-fs-read=${each}`),
    ...write.map((each) => `--allow-fs-write=${each}`),
    '--disallow-code-generation-from-strings',
    '--disable-proto=throw',
    '--frozen-intrinsics',
    '--disable-sigusr1',
    '--max-semi-space-size=16', // MB. Beyond it memory doubles under load, for a few percent of speed.
    // Of the flags above: that they are experimental, and that a thread could be told to leave them out.
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=SecurityWarning',
  ];
}

/** Becomes the server, under the same process id; where there is no execve(2), its parent. */
function become(args: string[]): void {
  if (process.platform !== 'win32') process.execve!(process.execPath, [process.execPath, ...args], process.env);
  spawn(process.execPath, args, { stdio: 'inherit' }).on('exit', (code) => process.exit(code ?? 1));
}

if (import.meta.main) {
  const argv = process.argv.slice(2);
  const { values } = parseArgs({ args: argv, options: { 'env-file': { type: 'string' } }, strict: false });
  const named = values['env-file'];
  const files: string[] = [];
  const loaded = loadConfigFiles({
    env: process.env,
    envFile: typeof named === 'string' ? named : undefined,
    flags: {},
    readFile(file) {
      files.push(file);
      return readFileSync(file, 'utf8');
    },
  });
  // Wrong settings are told by the server itself.
  const config = 'config' in loaded ? loaded.config : { databaseUrl: 'sqlite::memory:', mailUrl: 'log:' };
  const reach = reachOf(config, files);
  if ('config' in loaded) for (const folder of reach.write) makeFolder(folder);
  become([...lockedFlags(reach, process.allowedNodeEnvironmentFlags), path.join(ROOT, 'src/main.ts'), ...argv]);
}

/** Under the permission model the server could not make them; one that can't be made it does without, or says so. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch {
    // The cache of a read-only installation, for one.
  }
}
