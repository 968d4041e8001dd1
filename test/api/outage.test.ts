import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { passed } from '../helpers/clock.ts';
import { openProxy } from '../helpers/postgres.ts';
import { createCluster, withoutBinaries } from '../helpers/postgres_cluster.ts';
import type { Cluster } from '../helpers/postgres_cluster.ts';
import { BARE_ENV, ROOT, startProgram } from '../helpers/program.ts';
import type { Program } from '../helpers/program.ts';
import { needs, redisServer } from '../helpers/redis.ts';
import type { RedisServer } from '../helpers/redis.ts';
import { send } from '../helpers/server.ts';
import type { Answer, CallOptions } from '../helpers/server.ts';

const MAIN = path.join(ROOT, 'src/main.ts');
/** Within this time every answer comes, and a server that is back is used again. */
const PROMISED_MS = 5000;
const common = {
  SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1', TRUST_PROXY: '127.0.0.1', JWT_SECRET: 'k'.repeat(32),
  RATE_LIMIT_LOGIN: '100000/60s', RATE_LIMIT_LOGIN_FAILURES: '100000/60s',
};
const folder = mkdtempSync(path.join(tmpdir(), 'outage-'));
after(() => rmSync(folder, { recursive: true }));

async function start(t: TestContext, env: Record<string, string>): Promise<Program> {
  const program = await startProgram([MAIN], folder, { ...common, ...env });
  t.after(() => void program.child.kill('SIGKILL'));
  return program;
}

/** The answer, which must come in time. */
async function call({ port }: Program, method: string, target: string, options: CallOptions = {}): Promise<Answer> {
  const late = passed(PROMISED_MS).then(() => assert.fail(`${method} ${target} is too slow`));
  return Promise.race([send(port, method, target, options), late]);
}

/** What a server that does not start says before it ends with exit code 1. */
async function lastWords(settings: Record<string, string>): Promise<string> {
  const env = { ...common, ...BARE_ENV, PORT: '0', ...settings };
  const child = spawn(process.execPath, [MAIN], { cwd: folder, env });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.doesNotMatch(stderr, /hunter2/);
  return stderr;
}

async function within<T>(ask: () => Promise<T>, isIt: (answer: T) => boolean): Promise<void> {
  let isLate = false;
  void passed(PROMISED_MS).then(() => (isLate = true));
  for (let answer = await ask(); !isIt(answer); answer = await ask()) {
    assert.ok(!isLate, `after ${PROMISED_MS} ms it is still ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}

/** On a busy machine it may have been a second behind just now. */
const isReady = (program: Program): Promise<void> =>
  within(() => call(program, 'GET', '/readyz'), ({ status }) => status === 200);

describe('while PostgreSQL', { skip: withoutBinaries }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await createCluster();
  });
  after(() => cluster.close());

  const outages: [title: string, begin: () => Promise<void>, end: () => Promise<void>][] = [
    ['hangs', () => cluster.signal('SIGSTOP'), () => cluster.signal('SIGCONT')],
    ['is killed', () => cluster.stop('SIGKILL'), () => cluster.start()],
    ['is restarted', () => cluster.stop('SIGINT'), () => cluster.start()],
  ];
  for (const [title, begin, end] of outages) {
    test(`${title}, what needs it is 503 within 5 s, and works again without a restart`, async (t) => {
      const program = await start(t, { DATABASE_URL: cluster.url });
      const account = { email: `${title.replaceAll(' ', '.')}@a.com`, password: 'correct horse' };
      assert.equal((await call(program, 'POST', '/api/v1/auth/register', { body: account })).status, 201);
      const { json: pair } = await call(program, 'POST', '/api/v1/auth/login', { body: account });
      const me = () => call(program, 'GET', '/api/v1/users/me', { token: pair.access_token });
      const body = { refresh_token: pair.refresh_token };
      const refresh = () => call(program, 'POST', '/api/v1/auth/refresh', { body });
      const answers = await Promise.all(Array.from({ length: 10 }, me));
      assert.deepEqual(answers.map(({ status }) => status), Array(10).fill(200));

      await begin();
      try {
        for (let round = 0; round < 2; round += 1) {
          const logIn = call(program, 'POST', '/api/v1/auth/login', { body: account });
          for (const { status, json, headers } of await Promise.all([me(), me(), me(), logIn, refresh()])) {
            assert.deepEqual([status, json.code], [503, 'unavailable']);
            assert.match(String(headers['retry-after']), /^[1-9]\d?$/);
          }
          const ready = await call(program, 'GET', '/readyz');
          assert.deepEqual([ready.status, ready.json.parts.database], [503, 'away']);
          for (const target of ['/healthz', '/api/v1/public/ping']) {
            assert.equal((await call(program, 'GET', target)).status, 200, target);
          }
        }
      } finally {
        await end();
      }
      await within(me, ({ status }) => status === 200);
      await isReady(program);
      assert.equal((await refresh()).status, 200);
      assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
    });
  }

  test('is not there yet, a server waits for it, says so, and starts', async (t) => {
    const proxy = await openProxy(cluster.port);
    t.after(proxy.close);
    proxy.cutAfter = 0;
    const program = await start(t, { DATABASE_URL: proxy.through(cluster.url) });
    assert.match((await program.line(({ level }) => level === 'warn'))['msg'], /^The database is away/);
    await isReady(program);
    await program.stop();
  });

  test('has no such database, a server ends at once and says so without the password', async () => {
    const wrong = new URL(cluster.url);
    wrong.password = 'hunter2';
    wrong.pathname = '/nothing';
    const said = await lastWords({ DATABASE_URL: wrong.href });
    assert.match(said, /^DATABASE_URL: the database can't be used: database "nothing" does not exist.*; see that it /);
  });

  test('has no TLS, a server that must have it ends at once', async () => {
    const said = await lastWords({ DATABASE_URL: `${cluster.url}?sslmode=require` });
    assert.match(said, /^DATABASE_URL: the database can't be used: The server offers no TLS; see that it /);
  });
});

test('a server ends at once on URLs that it cannot read, and names them all', async () => {
  const urls = { DATABASE_URL: 'postgres://:hunter2@h/db', REDIS_URL: 'redis://:hunter2@h/x' };
  const said = await lastWords({ ...urls, PORT: 'x' });
  assert.deepEqual(said.split('\n').map((line) => line.split(':')[0]), ['PORT', 'DATABASE_URL', 'REDIS_URL', '']);
});

describe('while Redis', needs('redis-server'), () => {
  const limit = 7;
  const settings = { RATE_LIMIT_DEFAULT: `${limit}/100d`, DATABASE_URL: 'sqlite::memory:' };
  const ping = (program: Program, address: string) =>
    call(program, 'GET', '/api/v1/public/ping', { headers: { 'X-Forwarded-For': address } });
  /** What it has said of Redis, up to now: a request that is logged carries the lines before its own along. */
  const told = async (program: Program): Promise<string[]> => {
    const id = randomUUID();
    await call(program, 'GET', '/healthz', { headers: { 'X-Request-Id': id } });
    await program.line((line) => line['request_id'] === id);
    return program.log().filter(({ msg }) => /^Redis is/.test(msg)).map(({ level }) => level);
  };
  let floods = 0;
  /**
   * As many of the pings from an address pass as the limit says, and never more. On a busy machine Redis may take
   * longer than it has; a client is counted by two stores then, and another flood is needed to see what one does.
   */
  const flood = async (program: Program, changesThatCount: number): Promise<string> => {
    for (;;) {
      const address = `192.0.2.${(floods += 1)}`;
      const before = (await told(program)).length;
      const answers = await Promise.all(Array.from({ length: limit + 5 }, () => ping(program, address)));
      if ((await told(program)).length > before + changesThatCount) continue;
      assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(limit).fill(200), ...Array(5).fill(429)]);
      return address;
    }
  };
  const limiter = async (program: Program) => {
    const { status, json } = await call(program, 'GET', '/readyz');
    const gauge = /^rate_limit_store_up (\d)$/m.exec((await call(program, 'GET', '/metrics')).text)?.[1];
    return `${status} ${json.parts.limiter} ${gauge}`;
  };

  const outages: [title: string, begin: (redis: RedisServer) => unknown, end: (redis: RedisServer) => unknown][] = [
    ['hangs', (redis) => redis.signal('SIGSTOP'), (redis) => redis.signal('SIGCONT')],
    ['is killed', (redis) => redis.kill(), (redis) => redis.start()],
  ];
  for (const [title, begin, end] of outages) {
    test(`${title}, limits hold in the process, nobody gets an error, and it is used again within 5 s`, async (t) => {
      const redis = await redisServer(t);
      const program = await start(t, { ...settings, REDIS_URL: redis.url });
      await within(() => limiter(program), (answer) => answer === '200 ok 1');
      const first = await flood(program, 0);
      await begin(redis);
      const second = await flood(program, 1);
      assert.equal((await ping(program, second)).status, 429);
      await within(() => limiter(program), (answer) => answer === '200 fallback 0');
      await end(redis);
      await within(() => limiter(program), (answer) => answer === '200 ok 1');
      await flood(program, 0);
      if (title === 'hangs') assert.equal((await ping(program, first)).status, 429, 'it remembers');
      const levels = await told(program);
      assert.deepEqual(levels, levels.map((_, i) => (i % 2 === 0 ? 'warn' : 'info')), 'each change is told once');
      assert.ok(levels.length >= 2);
      assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
    });
  }

  test('is not there yet, a server starts at once, limits in the process, and uses it when it comes', async (t) => {
    const redis = await redisServer(t);
    await redis.kill();
    const program = await start(t, { ...settings, REDIS_URL: redis.url });
    assert.deepEqual(program.log()[0]!['msg'], 'listening', 'the first line says where, whatever is amiss');
    await within(() => limiter(program), (answer) => answer === '200 fallback 0');
    assert.match((await program.line(({ level }) => level === 'warn'))['msg'], /^Redis is away.*ECONNREFUSED/);
    const address = await flood(program, 0);
    await redis.start();
    await within(() => limiter(program), (answer) => answer === '200 ok 1');
    assert.equal((await ping(program, address)).status, 200, 'Redis knows nothing of what was counted without it');
    await flood(program, 0);
    await program.stop();
  });
});
