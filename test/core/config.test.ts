import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';

import { EXAMPLE_JWT_SECRET, settings } from '../../src/core/config.ts';
import type { SettingName } from '../../src/core/config.ts';
import { loadConfig } from '../../src/core/load_config.ts';
import type { Loaded, Sources } from '../../src/core/load_config.ts';
import { Wrong } from '../../src/core/settings.ts';
import { poolOf } from '../../src/db/session.ts';

const NO_FILES: Record<string, string> = {};

function load({ files = NO_FILES, ...sources }: Partial<Sources> & { files?: Record<string, string> }): Loaded {
  const readFile = (path: string): string => {
    if (files[path] === undefined) throw new Error(`ENOENT ${path}`);
    return files[path];
  };
  return loadConfig({ env: {}, envFile: undefined, flags: {}, readFile, ...sources });
}

const faultsOf = (env: Record<string, string>, files = NO_FILES): string[] => {
  const loaded = load({ env, files });
  return 'faults' in loaded ? loaded.faults : [];
};

function configOf(sources: Parameters<typeof load>[0]) {
  const loaded = load(sources);
  assert.ok('config' in loaded, JSON.stringify(loaded));
  return loaded;
}

const DAY = 86_400_000;
const KEY = 'kR8pLq2ZxVw1Ys6Db4Tn9GmHc3Jf7Ae0';
const DURATIONS = {
  accepted: { '1s': 1000, '500m': 30_000_000, '2h': 7_200_000, '30d': 30 * DAY, '3650d': 3650 * DAY, '1500ms': 1500 },
  refused: ['15', '15 m', 'm', '-1m', '1.5m', '1M', '15min', '3651d', '1e3s', '0x1s', '1s ', '9999999999s'],
};
const LIMITS = {
  accepted: { '100/60s': { limit: 100, windowMs: 60_000 }, '1/1ms': { limit: 1, windowMs: 1 } },
  refused: [
    ...['100', '0/60s', '100/0s', '100/60', '/60s', '100/', '-1/60s', '1.5/60s', '100/60s/1', '100 / 60s', '1/3651d'],
  ],
};
const FLAGS = { accepted: { true: true, false: false }, refused: ['1', '0', 'yes', 'no', 'TRUE', 'on', ' true'] };
const whole = (min: number, max: number) => ({
  accepted: { [min]: min, [max]: max, [`0${min}`]: min },
  refused: [
    ...[String(min - 1), String(max + 1), '1.5', '1e1', '0x10', 'many', ' 1', '1 ', '+1', '9'.repeat(16), 'NaN'],
  ],
});
const kept = (...texts: string[]) => Object.fromEntries(texts.map((text) => [text, text]));

/** What each setting makes of a text, and which it refuses. */
const table: Record<SettingName, { accepted: Record<string, unknown>; refused: string[] }> = {
  ENVIRONMENT: { accepted: kept('development', 'test', 'production'), refused: ['prod', 'Production', 'staging'] },
  HOST: {
    accepted: kept('0.0.0.0', '::', 'fe80::1%lo', 'localhost', 'api-1.example'),
    refused: ['999.1.1.1', '1.2.3', '[::1]', 'a b', 'http://localhost', '127.0.0.1:80'],
  },
  PORT: whole(0, 65_535),
  WORKERS: whole(0, 256),
  DATABASE_URL: {
    accepted: kept(
      ...['sqlite:./a.db', 'sqlite:/a/b', 'sqlite::memory:'],
      ...['postgres://u:p@h:5432/d?sslmode=require', 'postgresql://h/d'],
    ),
    refused: ['mysql://h/d', './a.db', 'sqlite:', 'postgres:h', 'postgres://h:port/d', 'SQLITE:./a.db'],
  },
  DATABASE_POOL_MAX: whole(1, 1000),
  REDIS_URL: {
    accepted: kept('redis://h', 'rediss://:p@h:6380/1'),
    refused: ['h:6379', 'http://h', 'redis:h', 'redis://h:x'],
  },
  JWT_SECRET: {
    accepted: { [KEY]: [KEY], ['é'.repeat(16)]: ['é'.repeat(16)] },
    refused: ['x'.repeat(31), 'é'.repeat(15)],
  },
  JWT_SECRET_PREVIOUS: {
    accepted: { [`${KEY}, ${KEY}1`]: [KEY, `${KEY}1`], [`${KEY},`]: [KEY] },
    refused: ['short', `${KEY},short`],
  },
  JWT_ALGORITHM: { accepted: kept('HS256'), refused: ['hs256', 'HS512', 'RS256', 'none'] },
  JWT_ISSUER: { accepted: kept('https://example.com'), refused: [] },
  JWT_AUDIENCE: { accepted: kept('api'), refused: [] },
  ACCESS_TOKEN_TTL: { ...DURATIONS, refused: [...DURATIONS.refused, '0s', '999ms'] },
  REFRESH_TOKEN_TTL: { ...DURATIONS, refused: [...DURATIONS.refused, '0s', '999ms'] },
  REFRESH_TOKEN_ROTATION: FLAGS,
  REQUIRE_VERIFIED_EMAIL: FLAGS,
  REFRESH_TOKEN_REUSE_INTERVAL: { ...DURATIONS, accepted: { ...DURATIONS.accepted, '0s': 0 } },
  PASSWORD_MIN_LENGTH: whole(1, 256),
  SCRYPT_LOG2_N: whole(1, 22),
  SCRYPT_R: whole(1, 64),
  SCRYPT_P: whole(1, 64),
  SCRYPT_CONCURRENCY: whole(0, 256),
  SCRYPT_QUEUE: whole(0, 100_000),
  RATE_LIMIT_DEFAULT: LIMITS,
  RATE_LIMIT_LOGIN: LIMITS,
  RATE_LIMIT_LOGIN_FAILURES: LIMITS,
  RATE_LIMIT_MAX_KEYS: whole(1, 100_000_000),
  TRUST_PROXY: {
    accepted: {
      '10.0.0.1': [['10.0.0.1', 32]],
      '10.0.0.0/8, ::1,fd00::/8': [['10.0.0.0', 8], ['::1', 128], ['fd00::', 8]],
      '0.0.0.0/0': [['0.0.0.0', 0]],
      ',': [],
    },
    refused: [
      ...['1', 'true', 'loopback', 'dead', '10.0.0', '10.0.0.256', '10.0.0.0/33', '10.0.0.0/08', '::1/129'],
      ...['10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', 'fe80::1%eth0', 'example.com', '10.0.0.1:80', '10.0.0.1 10.0.0.2', '::g'],
    ],
  },
  CORS_ORIGINS: {
    accepted: { '*': '*', 'https://a.example, http://localhost:3000': ['https://a.example', 'http://localhost:3000'] },
    refused: [
      ...['a.example', 'https://a.example/', 'https://a.example/x', 'https://a.example:443', 'HTTPS://A.example'],
      ...['null', '*,https://a.example', 'https://u@a.example', 'file:///a', 'ftp://a.example', 'https://*.a.example'],
    ],
  },
  BODY_LIMIT: {
    accepted: { 1: 1, '100b': 100, '64kb': 65_536, '1mb': 1_048_576, '64mb': 67_108_864 },
    refused: ['0', '65mb', '1gb', '1.5mb', '64 kb', '64KB', '-1', 'kb'],
  },
  LOG_LEVEL: { accepted: kept('debug', 'info', 'warn', 'error'), refused: ['trace', 'INFO', 'silent'] },
  LOG_FORMAT: { accepted: kept('auto', 'json', 'pretty'), refused: ['text', 'JSON'] },
  DOCS_ENABLED: FLAGS,
  METRICS_TOKEN: { accepted: kept('a token'), refused: [] },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    accepted: kept('http://h:4318', 'https://h'),
    refused: ['h:4318', 'grpc://h', 'http://'],
  },
  OTEL_SERVICE_NAME: { accepted: kept('a name'), refused: [] },
  FIRST_ADMIN_EMAIL: { accepted: kept('a@a.com'), refused: [] },
  FIRST_ADMIN_PASSWORD: { accepted: kept(' pass word '), refused: [] },
  MAIL_URL: {
    accepted: kept('log:', 'file:./mail', 'smtp://u:p@h:587', 'smtps://h'),
    refused: ['mailto:a@a.com', 'smtp:h', 'smtp://h:x', './mail', 'file:'],
  },
  MAIL_FROM: { accepted: kept('A <a@a.com>'), refused: [] },
  PUBLIC_URL: { accepted: kept('https://a.example'), refused: ['a.example', 'ftp://a.example', 'https://'] },
  SHUTDOWN_TIMEOUT: { ...DURATIONS, accepted: { ...DURATIONS.accepted, '0s': 0 } },
};

for (const [name, { accepted, refused }] of Object.entries(table) as [SettingName, (typeof table)[SettingName]][]) {
  test(`${name} takes what it says and refuses the rest`, () => {
    const setting = settings[name];
    for (const [text, value] of Object.entries(accepted)) assert.deepEqual(setting.read(text), value, text);
    for (const text of refused) {
      assert.ok(setting.read(text) instanceof Wrong, `${text} was accepted`);
      const faults = faultsOf({ [name]: text });
      assert.equal(faults.filter((fault) => fault.startsWith(`${name}: `)).length, 1, faults.join('\n'));
      assert.ok(faults.some((fault) => fault.endsWith(`; accepted: ${setting.accepts}`)), faults.join('\n'));
    }
    const { fallback } = setting;
    assert.ok(fallback === undefined || !(setting.read(fallback) instanceof Wrong), 'its own default');
  });
}

test('flags win over the environment, that over the .env file, that over the defaults; empty ones are unset', () => {
  const envFile = '# comment\nPORT=1111\nHOST="file"\nexport LOG_LEVEL=warn # why\nBODY_LIMIT=1mb\n';
  const { config } = configOf({ flags: { PORT: '3333' }, env: { PORT: '2222', HOST: 'env', LOG_LEVEL: '' }, envFile });
  assert.deepEqual(
    [config.port, config.host, config.logLevel, config.bodyLimit, config.logFormat],
    [3333, 'env', 'warn', 1 << 20, 'auto'],
  );
  assert.equal(configOf({ flags: { PORT: '' }, env: { PORT: '' }, envFile: 'PORT=' }).config.port, 8000);
  assert.equal(configOf({ envFile: '' }).config.environment, 'development');
  assert.equal(configOf({ envFile: 'HOST=file\r\nPORT=1111\r\n' }).config.host, 'file');
  assert.equal(configOf({ envFile: '\uFEFFHOST=file\n' }).config.host, 'file', 'a byte order mark is no part of a name');
});

test('without any setting the defaults of the table hold', () => {
  const { config, explicit, warnings } = configOf({});
  assert.deepEqual([...explicit, ...warnings], []);
  assert.deepEqual(
    [config.rateLimitDefault, config.accessTokenTtl, config.refreshTokenTtl, config.bodyLimit, config.jwtSecret],
    [{ limit: 100, windowMs: 60_000 }, 900_000, 30 * DAY, 65_536, undefined],
  );
  assert.deepEqual([config.scryptLog2N, config.scryptR, config.scryptP], [15, 8, 3]);
});

test('every wrong setting is named at once, those that only contradict each other among them', () => {
  const faults = faultsOf({
    ...{ ENVIRONMENT: 'production', PORT: 'high', WORKERS: '-1', BODY_LIMIT: 'big', JWT_ALGORITHM: 'none' },
    ...{ TRUST_PROXY: '1', FIRST_ADMIN_EMAIL: 'nobody', ACCESS_TOKEN_TTL: '15', MAIL_URL: 'log:' },
  });
  const named = faults.map((fault) => fault.split(':')[0]);
  const expected = ['PORT', 'WORKERS', 'JWT_ALGORITHM', 'ACCESS_TOKEN_TTL', 'TRUST_PROXY', 'BODY_LIMIT', 'JWT_SECRET',
    'FIRST_ADMIN_EMAIL', 'FIRST_ADMIN_PASSWORD', 'MAIL_URL'];
  assert.deepEqual(named.sort(), expected.sort(), faults.join('\n'));
  for (const fault of faults) assert.ok(!fault.includes('\n'), fault);
});

test('a wrong setting is named once, whatever else follows from it', () => {
  for (const env of [
    { ENVIRONMENT: 'production', JWT_SECRET: 'short' },
    { ENVIRONMENT: 'production', JWT_SECRET_FILE: '/nothing' },
    { DATABASE_URL: 'mysql://h', WORKERS: '1' },
    { FIRST_ADMIN_EMAIL: 'a@a.com', FIRST_ADMIN_PASSWORD_FILE: '/nothing' },
    { FIRST_ADMIN_EMAIL: 'a@a.com' },
    { FIRST_ADMIN_PASSWORD: 'correct horse' },
    { FIRST_ADMIN_EMAIL: 'a@a.com', FIRST_ADMIN_PASSWORD: 'abc' },
    { FIRST_ADMIN_EMAIL: 'a@a.com', FIRST_ADMIN_PASSWORD: 'x'.repeat(1025) },
  ]) {
    assert.equal(faultsOf(env).length, 1, `${JSON.stringify(env)}: ${faultsOf(env).join('\n')}`);
  }
});

test('mail names the port that is listened on, and in production somebody has to say the address', () => {
  const publicUrl = (env: Record<string, string>): string => configOf({ env }).config.publicUrl;
  assert.equal(publicUrl({}), 'http://127.0.0.1:8000');
  assert.equal(publicUrl({ PORT: '9000' }), 'http://127.0.0.1:9000');
  assert.equal(publicUrl({ PORT: '0' }), 'http://127.0.0.1:8000');
  assert.equal(publicUrl({ PORT: '9000', PUBLIC_URL: 'https://a.example' }), 'https://a.example');
  const production = { ENVIRONMENT: 'production', JWT_SECRET: KEY, MAIL_URL: 'smtp://h' };
  assert.match(configOf({ env: production }).warnings.join(), /^PUBLIC_URL is unset/);
  assert.deepEqual(configOf({ env: { ...production, PUBLIC_URL: 'https://a.example' } }).warnings, []);
});

test('a secret may come from a file, whose final newline is dropped', () => {
  const held = {
    ...{ [KEY]: KEY, [`${KEY}\n`]: KEY, [`${KEY}\r\n`]: KEY },
    ...{ [`${KEY}\n\n`]: `${KEY}\n`, [` ${KEY}`]: ` ${KEY}` },
  };
  for (const [text, key] of Object.entries(held)) {
    const { config } = configOf({ env: { JWT_SECRET_FILE: '/key' }, files: { '/key': text } });
    assert.deepEqual(config.jwtSecret, [key]);
  }
  assert.deepEqual(configOf({ envFile: 'JWT_SECRET_FILE=/key', files: { '/key': KEY } }).config.jwtSecret, [KEY]);
  const named = /^JWT_SECRET_FILE: \/key can't be read or is empty; accepted: /;
  assert.match(faultsOf({ JWT_SECRET_FILE: '/key' })[0]!, named);
  assert.match(faultsOf({ JWT_SECRET_FILE: '/key' }, { '/key': '\n' })[0]!, named);
  assert.match(faultsOf({ METRICS_TOKEN_FILE: '/key' }, { '/key': '' })[0]!, /^METRICS_TOKEN_FILE: /);
  assert.match(faultsOf({ JWT_SECRET_FILE: '/key', JWT_SECRET: KEY }, { '/key': KEY })[0]!, /set one of them$/);
});

test('no message repeats the value of a secret, or a part of it', () => {
  const secret = 'hunter2hunter2';
  const wrong: Record<string, string> = {
    JWT_SECRET: secret,
    JWT_SECRET_PREVIOUS: `${KEY},${secret}`,
    DATABASE_URL: `mysql://root:${secret}@h/d`,
    REDIS_URL: `redis://:${secret}@h:port`,
    MAIL_URL: `smtp://u:${secret}@h:port`,
    FIRST_ADMIN_PASSWORD: 'abc',
    METRICS_TOKEN: secret,
  };
  const secrets = (Object.keys(settings) as SettingName[]).filter((name) => settings[name].secret);
  assert.deepEqual(Object.keys(wrong).sort(), secrets.sort());
  for (const [name, value] of Object.entries(wrong)) {
    for (const fault of faultsOf({ ENVIRONMENT: 'production', [name]: value })) {
      for (const part of [secret, 'hunter', 'root', '"abc"']) assert.ok(!fault.includes(part), fault);
    }
  }
});

test('a name in .env that is no setting is a warning with the nearest real one', () => {
  const near: Record<string, string> = {
    ...{ PROT: 'PORT', DATABASE_URI: 'DATABASE_URL', JWT_SECRETS: 'JWT_SECRET', cors_origin: 'CORS_ORIGINS' },
    ...{ PORT_FILE: 'PORT', LOGLEVEL: 'LOG_LEVEL' },
  };
  for (const [name, real] of Object.entries(near)) {
    const { warnings } = configOf({ envFile: `${name}=1` });
    assert.deepEqual(warnings, [`.env: ${name} is not a setting; did you mean ${real}?`]);
  }
  assert.match(configOf({ envFile: 'PROT=1', envFileName: 'other.env' }).warnings[0]!, /^other\.env: PROT is not a setting/);
  assert.deepEqual(configOf({ env: { PROT: '1', HOME: '/' } }).warnings, [], 'the environment has names of others');
  assert.deepEqual(configOf({ envFile: `JWT_SECRET_FILE=/key`, files: { '/key': KEY } }).warnings, []);
});

test('a line in .env without = is a warning with its number, for what stands there may be a secret', () => {
  const warned = (envFile: string) => configOf({ envFile, envFileName: 'x.env' }).warnings;
  for (const line of ['JWT_SECRET', ' export HOST \r', 'PORT: 8000', 'hunter2', '\uFEFFPORT']) {
    assert.deepEqual(warned(`${line}\nHOST=a\n`), ['x.env: line 1 is no NAME=value and is ignored']);
    assert.deepEqual(warned(`HOST=a\n\n${line}`), ['x.env: line 3 is no NAME=value and is ignored']);
    const quoted = `JWT_AUDIENCE="\n${line}\n"\nJWT_ISSUER= '${line}\n${line}' # why\n`;
    assert.deepEqual(warned(quoted), [], 'in quotes it is a part of a value');
  }
  assert.equal(warned('# x="\nPORT\nJWT_ISSUER=a="b\nHOST\n#"').length, 2, 'not every quote opens a value');
  assert.deepEqual(warned('\uFEFF# why\r\n\r\n \t\n  # PORT\nHOST=\nexport PORT=1'), []);
});

test('in production the key must be there and hard to guess, and passwords longer', () => {
  const production = (env: Record<string, string>) => faultsOf({ ENVIRONMENT: 'production', ...env });
  assert.match(production({})[0]!, /^JWT_SECRET: is unset; accepted in production: /);
  const guessable = [
    ...[EXAMPLE_JWT_SECRET, 'a'.repeat(32), 'ab'.repeat(32), 'secret'.repeat(8), `${'a'.repeat(40)}b`],
    ...['0123456789'.repeat(4), '12345678901234567890123456789012', 'abcdefghijklmnopqrstuvwxyz0123456789'],
    ...['your-super-secret-jwt-token-with-at-least-32-characters-long', 'this_is_a_very_secret_key_for_production_use'],
    ...['please-change-this-to-a-long-random-string!!', 'my super secure and private signing key'],
    'kq3mXr8-Zt5vWy2_Bn7cLd9-'.repeat(2),
  ];
  for (const key of guessable) {
    assert.match(production({ JWT_SECRET: key })[0] ?? key, /^JWT_SECRET: can be guessed; /);
    const [previous = key] = production({ JWT_SECRET: KEY, JWT_SECRET_PREVIOUS: key });
    assert.match(previous, /^JWT_SECRET_PREVIOUS: can be guessed; /);
    assert.deepEqual(faultsOf({ JWT_SECRET: key }), [], 'elsewhere it may be');
  }
  const random = [['hex', 16], ['hex', 32], ['base64', 24], ['base64', 32], ['base64url', 32]] as const;
  for (let i = 0; i < 500; i++) {
    for (const [encoding, bytes] of random) {
      const key = randomBytes(bytes).toString(encoding);
      assert.deepEqual(production({ JWT_SECRET: key }), [], key);
    }
  }
  const { config } = configOf({ env: { ENVIRONMENT: 'production', JWT_SECRET: KEY } });
  assert.equal(config.passwordMinLength, 8);
  const { config: own } = configOf({ env: { ENVIRONMENT: 'production', JWT_SECRET: KEY, PASSWORD_MIN_LENGTH: '6' } });
  assert.equal(own.passwordMinLength, 6);
  assert.equal(configOf({}).config.passwordMinLength, 4);
  assert.match(production({ JWT_SECRET: KEY, MAIL_URL: 'log:' })[0]!, /^MAIL_URL: /);
});

test('Postgres connections are for the process: each thread has its part, and too few for all are refused', () => {
  const postgres = { DATABASE_URL: 'postgres://h/d' };
  for (const [workers, total] of [[1, 1], [1, 10], [2, 3], [2, 10], [3, 9], [9, 10], [16, 40]] as const) {
    const env = { ...postgres, WORKERS: String(workers), DATABASE_POOL_MAX: String(total) };
    const { config } = configOf({ env });
    const serving = Array.from({ length: workers }, (_, i) => poolOf(config, i + 1));
    const main = poolOf(config, 0);
    assert.equal(workers === 1 ? main : serving.reduce((sum, each) => sum + each, main), total);
    assert.ok(main >= 1 && Math.min(...serving) >= 1 && Math.max(...serving) - Math.min(...serving) <= 1);
  }
  const [fault, ...others] = faultsOf({ ...postgres, WORKERS: '3', DATABASE_POOL_MAX: '3' });
  assert.match(fault!, /^DATABASE_POOL_MAX: 3 are too few for 3 threads and the main one; accepted with WORKERS=3: 4 /);
  assert.deepEqual(others, []);
  assert.deepEqual(faultsOf({ WORKERS: '3', DATABASE_POOL_MAX: '1' }), [], 'SQLite has no pool');
});

test('WORKERS=0 is one for each core', () => {
  assert.equal(configOf({ env: { WORKERS: '0' } }).config.workers, availableParallelism());
});
