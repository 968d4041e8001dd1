// Two instances on one Postgres and one Redis, and what holds for both together. See --help.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const help = `Usage: npm run demo:cluster -- --database URL --redis URL

Starts two servers on one Postgres database, which may be empty and is filled, and one Redis; spreads requests over
both and checks what must hold across them. Exit code 1 when something does not.
`;

const LIMIT = 50;

interface Instance {
  child: ChildProcess;
  url: string;
  /** Versions of the schema that it applied. */
  migrated: number[];
}

/** Resolves when it listens. */
async function start(database: string, redis: string): Promise<Instance> {
  const env = {
    PATH: process.env['PATH'], PORT: '0', LOG_FORMAT: 'json', DATABASE_URL: database, REDIS_URL: redis,
    JWT_SECRET: 'the same for every instance, of course', TRUST_PROXY: '127.0.0.1',
    RATE_LIMIT_DEFAULT: `${LIMIT}/100d`, SCRYPT_LOG2_N: '10',
  };
  const child = spawn(process.execPath, [join(import.meta.dirname, '../src/main.ts')], {
    env, stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.on('exit', () => child.kill('SIGKILL'));
  const migrated: number[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    child.on('exit', () => reject(new Error('An instance ended.')));
    createInterface(child.stdout).on('line', (text) => {
      const line = JSON.parse(text);
      if (line.msg === 'listening') resolve(line.url);
      if (line.msg === 'migrated') migrated.push(line.version);
    });
  });
  return { child, url, migrated };
}

async function stop({ child }: Instance): Promise<number | null> {
  child.removeAllListeners('exit');
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  return (await exited)[0];
}

interface Answer {
  status: number;
  json: any;
}

/** A client of both instances in turn, from an address that no bucket knows. */
function createClient(instances: readonly Instance[]) {
  const address = `2001:db8:${randomBytes(2).toString('hex')}:${randomBytes(2).toString('hex')}::1`;
  let count = 0;
  return async (
    method: string, path: string, { body, token, at = count++ }: { body?: object; token?: string; at?: number } = {},
  ): Promise<Answer> => {
    const answer = await fetch(instances[at % instances.length]!.url + path, {
      method,
      headers: {
        'X-Forwarded-For': address,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, json: text === '' ? undefined : JSON.parse(text) };
  };
}

const tally = (answers: readonly Answer[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;

async function floodAsNewUser(instances: readonly Instance[]): Promise<Answer[]> {
  const call = createClient(instances);
  const body = { email: `flood-${randomBytes(6).toString('hex')}@example.com`, password: 'correct horse' };
  await call('POST', '/api/v1/auth/register', { body });
  const { json: { access_token: token } } = await call('POST', '/api/v1/auth/login', { body });
  return Promise.all(Array.from({ length: 3 * LIMIT }, () => call('GET', '/api/v1/users/me', { token })));
}

async function demonstrate(database: string, redis: string): Promise<boolean> {
  let good = true;
  const show = (holds: boolean, sentence: string): void => {
    good &&= holds;
    process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${sentence}\n`);
  };

  const instances = await Promise.all([start(database, redis), start(database, redis)]);
  const call = createClient(instances);
  const account = { email: `demo-${randomBytes(6).toString('hex')}@example.com`, password: 'correct horse' };
  const created = await call('POST', '/api/v1/auth/register', { body: account, at: 0 });
  const { json: pair } = await call('POST', '/api/v1/auth/login', { body: account, at: 1 });
  const token = pair.access_token;
  const versions = instances.flatMap(({ migrated }) => migrated);
  show(new Set(versions).size === versions.length,
    `two instances start at once; of ${versions.length} migrations due none is applied twice`);
  show(created.status === 201 && token !== undefined, 'who registers at one logs in at the other');

  const race = await Promise.all(Array.from({ length: 20 }, () =>
    call('POST', '/api/v1/auth/refresh', { body: { refresh_token: pair.refresh_token } })));
  const successors = new Set(race.map(({ json }) => json.refresh_token));
  show(tally(race, 200) === race.length && successors.size === 1,
    `${race.length} refreshes of one token, half at each, all succeed and name ${successors.size} successor`);

  let flood = await floodAsNewUser(instances);
  let late = 0; // Floods in which Redis took longer than its 50 ms: then each instance counts alone for a while.
  for (; late < 9 && tally(flood, 200) > LIMIT; late++) flood = await floodAsNewUser(instances);
  const [passed, refused] = [tally(flood, 200), tally(flood, 429)];
  show(passed === LIMIT && passed + refused === flood.length,
    `of ${flood.length} requests of one user over both, exactly ${passed} pass; the limit is ${LIMIT}` +
      (late === 0 ? '' : ` (more while Redis answered late, ${late} times)`));

  const { json: second } = await call('POST', '/api/v1/auth/login', { body: account, at: 0 });
  const ended = await call('POST', '/api/v1/auth/logout', { body: { refresh_token: second.refresh_token }, at: 0 });
  const body = { refresh_token: second.refresh_token };
  const replayed = await call('POST', '/api/v1/auth/refresh', { body, at: 1 });
  show(ended.status === 204 && replayed.status === 401, 'who logs out at one is logged out at the other');

  const other = { ...account, email: `other-${account.email}` };
  await call('POST', '/api/v1/auth/register', { body: other, at: 1 });
  const { json: third } = await call('POST', '/api/v1/auth/login', { body: other, at: 0 });
  const before = await call('GET', '/api/v1/users/me', { token: third.access_token, at: 1 });
  await call('POST', '/api/v1/auth/logout-all', { token: third.access_token, at: 0 });
  const after = await call('GET', '/api/v1/users/me', { token: third.access_token, at: 1 });
  show(before.status === 200 && after.status === 401, 'an access token ends on both with its session, at once');

  const codes = await Promise.all(instances.map(stop));
  show(codes.every((code) => code === 0), 'both stop when they are told to');
  return good;
}

function readFlags() {
  const options = { database: { type: 'string' }, redis: { type: 'string' }, help: { type: 'boolean' } } as const;
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}; see --help\n`);
    process.exit(2);
  }
}

const values = readFlags();
if (values.help || values.database === undefined || values.redis === undefined) {
  process.stdout.write(help);
  process.exitCode = values.help ? 0 : 2;
} else {
  process.exitCode = (await demonstrate(values.database, values.redis)) ? 0 : 1;
}
