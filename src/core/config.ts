import os from 'node:os';
import { parseEnv } from 'node:util';

import { isEmail } from './email.ts';
import { isGuessable } from './guessable.ts';
import { nearest } from './nearest.ts';
import {
  choice, cidrs, duration, flag, host, integer, keys, limit, origins, size, text, url, Wrong,
} from './settings.ts';
import type { Setting } from './settings.ts';

/** Every setting there is: name, what is accepted, default, meaning. README and .env.example are tested against it. */
export const settings = {
  ENVIRONMENT: choice(['development', 'test', 'production'], 'development', 'what kind of installation this is'),
  HOST: host('127.0.0.1', 'address to listen on'),
  PORT: integer(0, 65535, '8000', 'port to listen on; 0 picks a free one and prints it'),
  WORKERS: integer(0, 256, '1', 'threads that serve; 0 = one per core'),
  DATABASE_URL: url(
    ['sqlite:', 'postgres://', 'postgresql://'],
    'sqlite:./data/app.db',
    'also `sqlite::memory:` and `postgres://user:pass@host:5432/db?sslmode=disable|require|verify-full`',
    { secret: true },
  ),
  DATABASE_POOL_MAX: integer(1, 1000, '10', 'Postgres connections per process'),
  REDIS_URL: url(
    ['redis://', 'rediss://'],
    undefined,
    "the rate limiter's shared store; unset = in process",
    { secret: true },
  ),
  JWT_SECRET: keys('HS256 key; unset outside production: generated once and kept beside the SQLite file'),
  JWT_SECRET_PREVIOUS: keys('older keys: still verified, never used to sign', { several: true }),
  JWT_ALGORITHM: choice(['HS256'], 'HS256', 'the only accepted value'),
  JWT_ISSUER: text(undefined, 'when set: `iss`, written into tokens and required of them'),
  JWT_AUDIENCE: text(undefined, 'when set: `aud`, written into tokens and required of them'),
  ACCESS_TOKEN_TTL: duration(1000, '15m', 'how long an access token is good'),
  REFRESH_TOKEN_TTL: duration(1000, '30d', 'how long a session lasts; rotation does not extend it'),
  REFRESH_TOKEN_ROTATION: flag('true', 'each refresh replaces the refresh token'),
  REFRESH_TOKEN_REUSE_INTERVAL: duration(0, '10s', 'how long a replaced refresh token still names its successor'),
  PASSWORD_MIN_LENGTH: integer(1, 256, '4', 'in code points; in production 8'),
  SCRYPT_LOG2_N: integer(1, 22, '15', 'cost of a password hash: N = 2^this'),
  SCRYPT_R: integer(1, 64, '8', 'block size of a password hash'),
  SCRYPT_P: integer(1, 64, '3', 'parallelisation of a password hash'),
  SCRYPT_CONCURRENCY: integer(0, 256, '0', 'password hashes at once; 0 = one per core'),
  SCRYPT_QUEUE: integer(0, 100_000, '64', 'password hashes that may wait; past that 503'),
  RATE_LIMIT_DEFAULT: limit('100/60s', 'every `/api` route, per user or client address'),
  RATE_LIMIT_LOGIN: limit('5/60s', 'login, on top of the default one, per client address'),
  RATE_LIMIT_LOGIN_FAILURES: limit('20/15m', 'wrong passwords per account and client network'),
  RATE_LIMIT_MAX_KEYS: integer(1, 100_000_000, '100000', 'bound on the in-process map'),
  TRUST_PROXY: cidrs('addresses or CIDR ranges whose `X-Forwarded-For` is believed'),
  CORS_ORIGINS: origins('origins that browsers may call from, or `*`'),
  BODY_LIMIT: size('64kb', 'largest request body'),
  LOG_LEVEL: choice(['debug', 'info', 'warn', 'error'], 'info', 'least important level that is logged'),
  LOG_FORMAT: choice(['auto', 'json', 'pretty'], 'auto', '`auto` = pretty on a terminal, JSON elsewhere'),
  DOCS_ENABLED: flag('true', '`/docs` and `/openapi.json`'),
  METRICS_TOKEN: text(undefined, 'when set, `/metrics` asks for it as a Bearer token', { secret: true }),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(['http://', 'https://'], undefined, 'where traces go, as OTLP/HTTP JSON'),
  OTEL_SERVICE_NAME: text('bare-api', 'the name that traces carry'),
  FIRST_ADMIN_EMAIL: text(undefined, 'an administrator made at start when the address has no account'),
  FIRST_ADMIN_PASSWORD: text(undefined, 'the password of that administrator', { secret: true }),
  MAIL_URL: url(
    ['log:', 'file:', 'smtp://', 'smtps://'],
    'log:',
    '`log:`, `file:./data/mail`, `smtp://user:pass@host:587` or `smtps://…`; `log:` is refused in production',
    { secret: true },
  ),
  MAIL_FROM: text('bare-api <no-reply@localhost.localdomain>', 'the sender of mail'),
  PUBLIC_URL: url(
    ['http://', 'https://'],
    'http://127.0.0.1:8000',
    'the address that links in mail begin with; by default it has the port of `PORT`',
  ),
  REQUIRE_VERIFIED_EMAIL: flag('false', 'only those who have proved that the e-mail address is theirs may log in'),
  SHUTDOWN_TIMEOUT: duration(0, '10s', 'how long a stop waits for what is in flight'),
} satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof settings;
type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<Camel<Tail>>}`
  : Lowercase<S>;

/** The settings by their camelCase names. Durations are milliseconds, sizes bytes; `workers` is never 0. */
export type Config = {
  readonly [Name in SettingName as Camel<Name>]: (typeof settings)[Name] extends Setting<infer T> ? T : never;
};

export interface Sources {
  env: Readonly<Record<string, string | undefined>>;
  /** The text of the `.env` file, undefined when there is none. */
  envFile: string | undefined;
  /** What it is called; `.env` when left out. */
  envFileName?: string;
  /** Command-line flags, by the name of their setting. */
  flags: Readonly<Record<string, string | undefined>>;
  /** Reads the file that NAME_FILE names; throws when it can't be read. */
  readFile(path: string): string;
  /** For settings that only their users can read: throws a sentence that says what is wrong and what is accepted. */
  checks?: Partial<Record<SettingName, (value: string) => void>>;
}

export type Loaded =
  | {
      config: Config;
      /** Those that somebody set; the others have their defaults. */
      explicit: ReadonlySet<SettingName>;
      /** What each setting was read from, as text; undefined where it is unset. */
      texts: Readonly<Record<SettingName, string | undefined>>;
      warnings: string[];
    }
  /** One line each: name, what is wrong, what is accepted. */
  | { faults: string[] };

/** The same with the `.env` file read, or the one that `--env-file` names, which then has to be there. */
export function loadConfigFiles({ envFile: named, ...sources }: Sources): Loaded {
  let envFile: string | undefined;
  try {
    envFile = sources.readFile(named ?? '.env');
  } catch (error) {
    if (named !== undefined || (error as NodeJS.ErrnoException).code !== 'ENOENT') {
      return { faults: [`--env-file: ${named ?? '.env'} can't be read; accepted: a file of NAME=value lines`] };
    }
  }
  return loadConfig({ ...sources, envFile, ...(named === undefined ? {} : { envFileName: named }) });
}

/** Flags over environment over `.env` over defaults. An empty value counts as unset. Finds all faults at once. */
export function loadConfig({ env, envFile, envFileName = '.env', flags, readFile, checks = {} }: Sources): Loaded {
  const faults: string[] = [];
  const warnings: string[] = [];
  const fromFile = envFile === undefined ? {} : parseEnv(envFile.replace(/^\uFEFF/, ''));
  for (const name of Object.keys(fromFile)) {
    if (isSettingName(name) || isSecretFile(name)) continue;
    warnings.push(`${envFileName}: ${name} is not a setting; did you mean ${nearest(name, Object.keys(settings))}?`);
  }
  const given = (name: string): string | undefined => flags[name] || env[name] || fromFile[name] || undefined;
  const values: Record<string, unknown> = {};
  const explicit = new Set<SettingName>();
  const texts = {} as Record<SettingName, string | undefined>;
  const wrong = new Set<string>();

  for (const [name, setting] of Object.entries(settings) as [SettingName, Setting<unknown>][]) {
    const found = textOf(name, setting, given, readFile);
    if (found !== undefined) explicit.add(name);
    const text = found === undefined || 'fault' in found ? setting.fallback : found.text;
    const read = found !== undefined && 'fault' in found ? found : valueOf(name, setting, text, checks[name]);
    texts[name] = text;
    if ('fault' in read) {
      faults.push(read.fault);
      wrong.add(name);
    }
    // In the place of a wrong one stands the default, so that what depends on it can be looked at as well.
    values[camel(name)] = 'value' in read ? read.value : setting.fallback && setting.read(setting.fallback);
  }
  // The same object: what depends on several settings is put right in it below.
  const config = values as Config;
  values['workers'] ||= os.availableParallelism();
  const stricter = config.environment === 'production' && !explicit.has('PASSWORD_MIN_LENGTH');
  if (stricter) values['passwordMinLength'] = Number((texts.PASSWORD_MIN_LENGTH = '8'));
  if (!explicit.has('PUBLIC_URL')) {
    if (config.port !== 0) values['publicUrl'] = texts.PUBLIC_URL = `http://127.0.0.1:${config.port}`;
    if (config.environment === 'production' && explicit.has('MAIL_URL')) {
      warnings.push(`PUBLIC_URL is unset: mail names ${config.publicUrl}, which nobody elsewhere can reach.`);
    }
  }
  faults.push(...contradictions(config, explicit).filter((fault) => !wrong.has(fault.split(':', 1)[0]!)));
  return faults.length > 0 ? { faults } : { config, explicit, texts, warnings };
}

/** The text that somebody gave a setting, itself or by NAME_FILE; undefined when nobody did. */
function textOf(
  name: string,
  { secret }: Setting<unknown>,
  given: (name: string) => string | undefined,
  readFile: Sources['readFile'],
): { text: string } | { fault: string } | undefined {
  const text = given(name);
  const path = secret ? given(`${name}_FILE`) : undefined;
  if (path === undefined) return text === undefined ? undefined : { text };
  if (text !== undefined) return { fault: `${name}: is set and so is ${name}_FILE; set one of them` };
  const held = secretIn(path, readFile);
  if (held !== undefined) return { text: held };
  return { fault: `${name}_FILE: ${path} can't be read or is empty; accepted: a file that holds the secret` };
}

/** What a text means; without one, nothing. */
function valueOf(
  name: string,
  { read, secret, accepts }: Setting<unknown>,
  text: string | undefined,
  check: ((value: string) => void) | undefined,
): { value: unknown } | { fault: string } {
  if (text === undefined) return { value: undefined };
  const value = read(text);
  if (value instanceof Wrong) return { fault: `${name}: ${told(value, secret)}; accepted: ${accepts}` };
  try {
    check?.(String(value));
    return { value };
  } catch (error) {
    return { fault: `${name}: ${(error as Error).message}` };
  }
}

function told({ problem, quoted }: Wrong, isSecret: boolean): string {
  if (quoted === undefined) return problem;
  return isSecret ? 'is not acceptable' : `${problem} "${quoted}"`;
}

const isSettingName = (name: string): name is SettingName => Object.hasOwn(settings, name);

const isSecretFile = (name: string): boolean => {
  const [, of = ''] = /^(.*)_FILE$/.exec(name) ?? [];
  return isSettingName(of) && settings[of].secret;
};

/** What the file holds, without its final newline; undefined when there is nothing to be had. */
function secretIn(path: string, readFile: Sources['readFile']): string | undefined {
  try {
    return readFile(path).replace(/\r?\n$/, '') || undefined;
  } catch {
    return undefined;
  }
}

const camel = (name: string): string =>
  name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** What is wrong between settings that are each acceptable. */
function contradictions(config: Config, explicit: ReadonlySet<SettingName>): string[] {
  const faults: string[] = [];
  const production = config.environment === 'production';
  if (production && config.jwtSecret === undefined) {
    faults.push(`JWT_SECRET: is unset; accepted in production: at least 32 random bytes, e.g. from: ${GENERATE}`);
  }
  for (const [name, found] of [
    ['JWT_SECRET', config.jwtSecret],
    ['JWT_SECRET_PREVIOUS', config.jwtSecretPrevious],
  ] as const) {
    if (production && found?.some((key) => key === EXAMPLE_JWT_SECRET || isGuessable(key))) {
      faults.push(`${name}: can be guessed; accepted in production: random bytes, e.g. from: ${GENERATE}`);
    }
  }
  const { firstAdminEmail, firstAdminPassword, passwordMinLength } = config;
  for (const [name, other] of [FIRST_ADMIN, FIRST_ADMIN.toReversed()] as [SettingName, SettingName][]) {
    if (!explicit.has(name) && explicit.has(other)) faults.push(`${name}: is unset; accepted: set beside ${other}`);
  }
  if (firstAdminEmail !== undefined && !isEmail(firstAdminEmail)) {
    faults.push('FIRST_ADMIN_EMAIL: is not an e-mail address; accepted: one such as admin@example.com');
  }
  if (
    firstAdminPassword !== undefined &&
    ([...firstAdminPassword].length < passwordMinLength || Buffer.byteLength(firstAdminPassword) > 1024)
  ) {
    faults.push(`FIRST_ADMIN_PASSWORD: has a wrong length; accepted: ${passwordMinLength} characters to 1024 bytes`);
  }
  if (production && explicit.has('MAIL_URL') && config.mailUrl.startsWith('log:')) {
    faults.push('MAIL_URL: log: would write secrets to the log; accepted in production: file:, smtp:// or smtps://');
  }
  if (config.requireVerifiedEmail && !sendsMail(config)) {
    faults.push('REQUIRE_VERIFIED_EMAIL: needs mail; accepted in production: together with MAIL_URL');
  }
  if (config.databaseUrl === 'sqlite::memory:' && config.workers !== 1) {
    faults.push('WORKERS: threads can not share sqlite::memory:; accepted with it: 1');
  }
  const { workers, databasePoolMax } = config;
  if (workers > 1 && databasePoolMax <= workers && !config.databaseUrl.startsWith('sqlite:')) {
    faults.push(`DATABASE_POOL_MAX: ${databasePoolMax} are too few for ${workers} threads and the main one; ` +
      `accepted with WORKERS=${workers}: ${workers + 1} or more`);
  }
  return faults;
}

/** In production mail goes out only where MAIL_URL says so: `log:`, the default, would write secrets to the log. */
export const sendsMail = ({ environment, mailUrl }: Pick<Config, 'environment' | 'mailUrl'>): boolean =>
  environment !== 'production' || mailUrl !== 'log:';

const FIRST_ADMIN: SettingName[] = ['FIRST_ADMIN_EMAIL', 'FIRST_ADMIN_PASSWORD'];

const GENERATE = `node -p "crypto.randomBytes(32).toString('base64url')"`;

/** The key of `.env.example`: a running server must never use it. */
export const EXAMPLE_JWT_SECRET = 'change-me-to-32-or-more-random-bytes';
