import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NoConnection } from '../../src/wire/postgres_errors.ts';
import { Pool } from '../../src/wire/postgres_pool.ts';
import type { PoolOptions } from '../../src/wire/postgres_pool.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { createDatabase, now, openListener, withoutServer } from '../helpers/postgres.ts';
import type { FreshDatabase } from '../helpers/postgres.ts';

const open = (t: TestContext, url: string, options: Partial<PoolOptions> = {}): Pool => {
  const address = toPostgresAddress(url);
  const pool = new Pool({
    address, greeting: '', max: 2, maxWaiting: 2, connectMs: 60_000, idleMs: 60_000, now, ...options,
  });
  t.after(() => pool.close(0));
  return pool;
};
const soon = (ms = 60_000): number => now() + ms;
const selectOne = [{ sql: 'SELECT 1', params: [] }];

describe('a pool', { skip: withoutServer }, () => {
  let database: FreshDatabase;
  before(async () => {
    database = await createDatabase();
  });
  after(() => database.drop());

  test('gives each connection to one caller at a time, the longest waiting first', async (t) => {
    const pool = open(t, database.url);
    const [a, b] = [await pool.acquire(soon()), await pool.acquire(soon())];
    assert.notEqual(a, b);
    const order: string[] = [];
    const [first, second] = [Promise.resolve(pool.acquire(soon())), Promise.resolve(pool.acquire(soon()))];
    const arrivals = [first.then(() => order.push('first')), second.then(() => order.push('second'))];
    pool.release(b);
    pool.release(a);
    await Promise.all(arrivals);
    assert.deepEqual(order, ['first', 'second']);
    assert.deepEqual([await first, await second], [b, a]);
  });

  test('refuses who finds the queue full at once, and who waits too long', async (t) => {
    const pool = open(t, database.url, { max: 1, maxWaiting: 1 });
    const only = await pool.acquire(soon());
    const waiting = Promise.resolve(pool.acquire(soon(50)));
    await assert.rejects(async () => pool.acquire(soon()), { name: 'NoConnection', message: /1 callers wait/ });
    await assert.rejects(waiting, { name: 'NoConnection', message: /became free/ });
    const next = pool.acquire(soon());
    pool.release(only);
    assert.equal(await next, only);
  });

  test('a deadline that has just passed refuses like any other, and nobody is warned of anything', async (t) => {
    const warnings: Error[] = [];
    const warn = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warn);
    t.after(() => process.off('warning', warn));
    const pool = open(t, database.url, { max: 1 });
    const only = await pool.acquire(soon());
    await assert.rejects(async () => pool.acquire(soon(-1)), { name: 'NoConnection', message: /became free/ });
    await assert.rejects(only.run([{ sql: 'SELECT pg_sleep(1)', params: [] }], -1), { name: 'ConnectionLost' });
    pool.release(only);
    await sleep(0); // Warnings come in a turn of their own.
    assert.deepEqual(warnings, []);
  });

  test('does not use a connection again that ended or stands inside a transaction', async (t) => {
    const pool = open(t, database.url, { max: 1 });
    const seen = new Set();
    for (const spoil of ['BEGIN', 'BEGIN; SELECT 1/0', 'SELECT pg_terminate_backend(pg_backend_pid())', '']) {
      const connection = await pool.acquire(soon());
      assert.deepEqual((await connection.run(selectOne, 60_000))[0]?.rows, [[1]]);
      assert.equal(seen.has(connection), false);
      seen.add(connection);
      await connection.script(spoil, 60_000).catch(() => {});
      pool.release(connection);
    }
    assert.equal(seen.has(await pool.acquire(soon())), true, 'the last one was not spoiled');
  });

  test('notices that an idle connection has ended', async (t) => {
    const pool = open(t, database.url, { max: 2 });
    const [idle, busy] = [await pool.acquire(soon()), await pool.acquire(soon())];
    pool.release(idle);
    const others = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await busy.run([{ sql: others, params: [] }], 60_000);
    while (!idle.ended) await sleep(5);
    const fresh = await pool.acquire(soon());
    assert.notEqual(fresh, idle);
    assert.deepEqual((await fresh.run(selectOne, 60_000))[0]?.rows, [[1]]);
  });

  test('mistrusts all idle connections when one has fallen silent', async (t) => {
    const pool = open(t, database.url, { max: 2 });
    const [idle, busy] = [await pool.acquire(soon()), await pool.acquire(soon())];
    pool.release(idle);
    await assert.rejects(busy.run([{ sql: 'SELECT count(*) FROM pg_sleep(1)', params: [] }], 50));
    assert.equal(idle.ended, true);
  });
});

test('a server that is away is asked again after a while, not by every caller', async (t) => {
  let attempts = 0;
  const listener = await openListener((socket) => {
    attempts += 1;
    socket.destroy();
  });
  t.after(listener.close);
  let clock = 0;
  const pool = open(t, listener.url, { now: () => clock });
  const refused = (caller: unknown) => assert.rejects(async () => caller, NoConnection);
  await Promise.all([refused(pool.acquire(5000)), refused(pool.acquire(5000))]);
  assert.equal(attempts, 2, 'one for each who waited');
  for (let n = 0; n < 20; n += 1) await refused(pool.acquire(5000));
  assert.equal(attempts, 2);
  for (const [step, expected] of [[24, 2], [27, 3], [49, 3], [52, 4], [3000, 5], [3000, 6]] as const) {
    clock += step;
    await refused(pool.acquire(clock + 5000));
    assert.equal(attempts, expected, `after ${clock} ms`);
  }
});

test('close refuses those who wait', async (t) => {
  const listener = await openListener(() => {});
  t.after(listener.close);
  const pool = open(t, listener.url);
  const waiting = assert.rejects(async () => pool.acquire(soon()), /closed/);
  await sleep(10);
  await pool.close(10);
  await waiting;
  await assert.rejects(async () => pool.acquire(soon()), /closed/);
});
