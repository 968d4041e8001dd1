import { isEmail } from './email.ts';
import { isGuessable } from './guessable.ts';
import { choice, cidrs, duration, flag, host, integer, keys, limit, origins, size, text, url } from './settings.ts';
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

/** What is wrong between settings that are each acceptable. */
export function contradictions(config: Config, explicit: ReadonlySet<SettingName>): string[] {
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
