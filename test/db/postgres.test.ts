import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../src/core/errors.ts';
import { openPostgres } from '../../src/db/postgres.ts';
import type { PostgresOptions } from '../../src/db/postgres.ts';
import type { Database } from '../../src/db/database.ts';
import type { PostgresError } from '../../src/wire/postgres_errors.ts';
import { createDatabase, now, openProxy, withoutServer } from '../helpers/postgres.ts';
import type { FreshDatabase } from '../helpers/postgres.ts';

const unavailable = (error: unknown): boolean =>
  error instanceof Failure && error.code === 'unavailable' && (error.details.retryAfter ?? 0) >= 1;

describe('a PostgreSQL database', { skip: withoutServer }, () => {
  let database: FreshDatabase;
  let db: Database;
  const open = (t: TestContext | undefined, options: Partial<PostgresOptions> = {}): Database => {
    const opened = openPostgres({ url: database.url, poolMax: 4, now, ...options });
    t?.after(() => opened.close());
    return opened;
  };
  const execute = (sql: string) => db.write([{ sql, params: [] }]);
  const count = async (table: string) => (await db.one(`SELECT count(*) FROM ${table}`, []))?.[0];

  before(async () => {
    database = await createDatabase();
    db = open(undefined, { timeoutMs: 60_000 });
    await execute('CREATE TABLE items (id text PRIMARY KEY, n bigint NOT NULL)');
    await execute('CREATE SEQUENCE attempts');
    await execute(`CREATE FUNCTION refuse(state text, times integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('attempts') <= times THEN RAISE EXCEPTION 'refused' USING ERRCODE = state; END IF; RETURN 1; END $$`);
  });
  after(async () => {
    await db.close();
    await database.drop();
  });

  test('reads one row, or none, or all', async () => {
    await db.write([{ sql: "INSERT INTO items VALUES ('r1', 1), ('r2', $1)", params: [2] }]);
    assert.deepEqual(await db.one('SELECT id, n FROM items WHERE id = $1', ['r2']), ['r2', 2]);
    assert.equal(await db.one('SELECT id, n FROM items WHERE id = $1', ['nobody']), undefined);
    const both = await db.all("SELECT id, n FROM items WHERE id LIKE 'r_' ORDER BY id", []);
    assert.deepEqual(both, [['r1', 1], ['r2', 2]]);
    assert.deepEqual(await db.all('SELECT id FROM items WHERE n > $1 LIMIT $2', [5000, 5]), []);
    await assert.rejects(async () => db.one('SELECT nonsense', []), { name: 'PostgresError', sqlstate: '42703' });
  });

  test('writes all statements or none, each with what it did', async () => {
    const insert = (id: string) => ({
      sql: 'INSERT INTO items VALUES ($1, 0) ON CONFLICT (id) DO NOTHING RETURNING id, n', params: [id], changes: 1,
    });
    assert.deepEqual(await db.write([insert('w1')]), [{ rows: [['w1', 0]], changes: 1 }]);
    assert.equal(await db.write([insert('w1')]), undefined);
    assert.equal(await db.write([insert('w2'), insert('w1'), insert('w3')]), undefined);
    const anyNumber = { sql: "DELETE FROM items WHERE id = 'w9'", params: [] };
    assert.deepEqual(await db.write([insert('w4'), anyNumber]), [
      { rows: [['w4', 0]], changes: 1 }, { rows: [], changes: 0 },
    ]);
    assert.deepEqual(await db.write([]), []);
    assert.deepEqual(await db.all("SELECT id FROM items WHERE id LIKE 'w%' ORDER BY id", []), [['w1'], ['w4']]);
  });

  test('undoes a statement that changes more than it should', async () => {
    await db.write([{ sql: "INSERT INTO items VALUES ('m1', 0), ('m2', 0)", params: [] }]);
    const both = { sql: "UPDATE items SET n = n + 1 WHERE id IN ('m1', 'm2')", params: [] };
    for (const changes of [0, 1, 3]) assert.equal(await db.write([{ ...both, changes }]), undefined);
    assert.deepEqual(await db.write([{ ...both, changes: 2 }]), [{ rows: [], changes: 2 }]);
    assert.deepEqual(await db.all("SELECT n FROM items WHERE id IN ('m1', 'm2')", []), [[1], [1]]);
  });

  test('undoes everything when a statement is refused', async () => {
    const insert = { sql: 'INSERT INTO items VALUES ($1, 0)', params: ['u1'] };
    for (const changes of [{}, { changes: 1 }]) {
      await assert.rejects(db.write([{ ...insert, ...changes }, insert]), { name: 'PostgresError', sqlstate: '23505' });
    }
    assert.deepEqual(await db.all("SELECT id FROM items WHERE id = 'u1'", []), []);
  });

  test('acknowledges nothing that is not on disk, even where the server would', async (t) => {
    const name = new URL(database.url).pathname.slice(1);
    await execute(`ALTER DATABASE ${name} SET synchronous_commit = off`);
    assert.deepEqual(await open(t).one("SELECT current_setting('synchronous_commit')", []), ['on']);
    await execute(`ALTER DATABASE ${name} SET synchronous_commit = remote_apply`);
    assert.deepEqual(await open(t).one("SELECT current_setting('synchronous_commit')", []), ['remote_apply']);
    await execute(`ALTER DATABASE ${name} RESET synchronous_commit`);
  });

  test('keeps a condition true that two writes have read at the same time', async () => {
    await execute('CREATE TABLE admins (id text PRIMARY KEY, active integer)');
    const reset = "INSERT INTO admins VALUES ('a', 1), ('b', 1) ON CONFLICT (id) DO UPDATE SET active = 1";
    const demote = (id: string) =>
      db.write([
        {
          sql: `UPDATE admins SET active = 0 WHERE id = $1 AND (SELECT count(*) FROM pg_sleep(0.05)) = 1
            AND (SELECT count(*) FROM admins WHERE active = 1 AND id <> $1) > 0`,
          params: [id],
          changes: 1,
        },
      ]);
    for (let round = 0; round < 3; round += 1) {
      await execute(reset);
      const outcomes = await Promise.all([demote('a'), demote('b')]);
      assert.equal(outcomes.filter((outcome) => outcome !== undefined).length, 1);
      assert.deepEqual(await db.all('SELECT count(*) FROM admins WHERE active = 1', []), [[1]]);
    }
  });

  test('counts right when everybody writes the same row', async () => {
    await db.write([{ sql: "INSERT INTO items VALUES ('hot', 0)", params: [] }]);
    const increment = { sql: "UPDATE items SET n = n + 1 WHERE id = 'hot'", params: [] };
    const write = (_: unknown, index: number) => db.write([index % 2 ? increment : { ...increment, changes: 1 }]);
    await Promise.all(Array.from({ length: 60 }, write));
    assert.deepEqual(await db.one("SELECT n FROM items WHERE id = 'hot'", []), [60]);
  });

  test('begins a transaction again only when the server has rolled it back for another', async () => {
    const attempts = async (state: string, times: number, changes?: number) => {
      await db.one("SELECT setval('attempts', 1, false)", []);
      const insert = { sql: 'INSERT INTO items SELECT $1, refuse($2, $3)', params: [`retry${state}`, state, times] };
      const outcome = await db.write([changes === undefined ? insert : { ...insert, changes }]).then(
        () => 'written',
        (error: unknown) => (unavailable(error) ? 'unavailable' : (error as PostgresError).sqlstate),
      );
      await db.write([{ sql: 'DELETE FROM items WHERE id = $1', params: [`retry${state}`] }]);
      return [outcome, (await db.one('SELECT last_value FROM attempts', []))?.[0]];
    };
    for (const changes of [undefined, 1]) {
      assert.deepEqual(await attempts('40001', 3, changes), ['written', 4]);
      assert.deepEqual(await attempts('40P01', 3, changes), ['written', 4]);
      assert.deepEqual(await attempts('23505', 3, changes), ['23505', 1]);
      for (const state of ['53100', '53200', '53300', '57014', '55P03', '25006', '58030', '08006']) {
        assert.deepEqual(await attempts(state, 3, changes), ['unavailable', 1], state);
      }
    }
    assert.deepEqual(await attempts('40001', 1_000_000), ['unavailable', 25]);
  });

  test('a read is asked once more when its connection breaks', async (t) => {
    const proxy = await openProxy(database.port);
    t.after(proxy.close);
    const through = open(t, { url: proxy.through(database.url) });
    await through.ping();
    for (let cut = 0; cut < 60; cut += 1) {
      proxy.cutAfter = cut;
      assert.deepEqual(await through.one('SELECT 7, $1::text', ['x']), [7, 'x']);
    }
  });

  test('a write is repeated only when it cannot have been committed', async (t) => {
    const proxy = await openProxy(database.port);
    t.after(proxy.close);
    const through = open(t, { url: proxy.through(database.url), poolMax: 1 });
    const insert = { sql: 'INSERT INTO lost SELECT $1::bigint', params: [1] };
    await execute('CREATE TABLE lost (n bigint)');
    await through.write([insert]);
    await through.write([{ ...insert, changes: 1 }]);
    await execute('DELETE FROM lost');

    proxy.cutAfter = 0;
    await assert.rejects(through.write([insert]), unavailable);
    assert.equal(await count('lost'), 1, 'the answer to BEGIN … COMMIT was lost, the row was not');

    await through.ping();
    proxy.cutAfter = 0;
    await through.write([{ ...insert, changes: 1 }]);
    assert.equal(await count('lost'), 2, 'the answer before the COMMIT was lost: begun again');

    const before = proxy.passed;
    await through.write([{ ...insert, changes: 1 }]);
    proxy.cutAfter = proxy.passed - before - 1;
    await assert.rejects(through.write([{ ...insert, changes: 1 }]), unavailable);
    assert.equal(await count('lost'), 4, 'the answer to the COMMIT was lost, the row was not');
  });

  test('a statement prepared before the schema changed is prepared anew', async (t) => {
    const own = open(t, { poolMax: 2 });
    await execute('CREATE TABLE changing (n integer)');
    await execute('INSERT INTO changing VALUES (7)');
    const [one, two] = ['SELECT * FROM changing', 'UPDATE changing SET n = n RETURNING *'];
    const write = async () => (await own.write([{ sql: two, params: [], changes: 1 }]))?.[0]?.rows;
    await Promise.all([own.all(one, []), own.all(one, []), write()]);
    await execute('ALTER TABLE changing ALTER n TYPE text');
    assert.deepEqual(await Promise.all([own.all(one, []), own.all(one, [])]), [[['7']], [['7']]]);
    await execute('ALTER TABLE changing ALTER n TYPE bigint USING n::bigint');
    assert.deepEqual(await write(), [[7]]);
  });

  test('a server that can only be read is unavailable for writes, and left for the one that its name leads to', async (t) => {
    const name = new URL(database.url).pathname.slice(1);
    await execute(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const standby = open(t);
    const write = () => standby.write([{ sql: "INSERT INTO items VALUES ('r1', 0)", params: [] }]);
    await Promise.all([1, 2, 3].map(() => standby.all('SELECT pg_sleep(0.1)::text', [])));
    await assert.rejects(write(), unavailable);
    await execute(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    // A connection that was being opened then is found out by the next who writes.
    for (let left = 3; await write().then(() => false, unavailable); left -= 1) assert.ok(left > 0);
  });

  test('callers wait for a connection, but not past their deadline', async (t) => {
    const own = open(t, { poolMax: 2, timeoutMs: 4_000 });
    const sleeper = (seconds: number) => own.one(`SELECT count(*) FROM pg_sleep($1::text::float8)`, [String(seconds)]);
    const [a, b, c] = [sleeper(0.1), sleeper(0.1), own.one('SELECT 1', [])];
    assert.deepEqual(await Promise.all([a, b, c]), [[1], [1], [1]]);
    const slow = [sleeper(60), sleeper(60)];
    // Its own deadline is as near, so that it may just be let in when those before it are given up.
    const waiting = own.ping().catch((error) => assert.throws(() => { throw error; }, unavailable));
    await Promise.all([waiting, ...slow.map((promise) => assert.rejects(async () => promise, unavailable))]);
    await own.ping();
    const running = `SELECT count(*) FROM pg_stat_activity
      WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep($1%'
      AND pid <> pg_backend_pid()`;
    while ((await db.one(running, []))?.[0] !== 0) await sleep(20);
  });

  test('nobody gets a connection too late to use it, and so ruins it for those behind', async (t) => {
    const one = open(t, { poolMax: 1, timeoutMs: 2000 });
    const pid = async () => (await one.one('SELECT pg_backend_pid()', []))?.[0];
    const first = await pid();
    const busy = one.all('SELECT pg_sleep(1.7)::text', []);
    await assert.rejects(async () => one.all('SELECT pg_sleep(0.6)::text', []), (error: Error) => {
      return unavailable(error) && (error.cause as Error).name === 'NoConnection';
    });
    await busy;
    assert.equal(await pid(), first);
  });

  test('idle connections are closed', async (t) => {
    const own = open(t, { idleMs: 40, poolMax: 4 });
    const pids = await Promise.all([1, 2, 3].map(() => own.one('SELECT pg_backend_pid() FROM pg_sleep(0.1)', [])));
    const sql = `SELECT count(*) FROM pg_stat_activity WHERE pid IN (${pids.join()})`;
    while ((await db.one(sql, []))?.[0] !== 0) await sleep(20);
    await own.ping();
  });

  test('close lets what is running finish, and nobody else in', async () => {
    const own = open(undefined, { poolMax: 1, timeoutMs: 60_000 });
    await own.ping();
    const running = own.one('SELECT 1 FROM pg_sleep(0.1)', []);
    await sleep(20);
    const closed = own.close();
    await assert.rejects(async () => own.one('SELECT 1', []), unavailable);
    await closed;
    assert.deepEqual(await running, [1]);
  });
});

test('an address that nobody listens on is unavailable, and says why', async (t) => {
  const db = openPostgres({ url: 'postgres://u@127.0.0.1:1/db', poolMax: 2, now });
  t.after(() => db.close());
  const attempts = [db.ping(), db.one('SELECT 1', []), db.write([]), db.migrate([])];
  for (const attempt of attempts) {
    await assert.rejects(async () => attempt, (error: Failure) => {
      assert.ok(unavailable(error));
      const reasons: unknown[] = [];
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) reasons.push(cause.message);
      assert.match(reasons.join(' '), /ECONNREFUSED/);
      return true;
    });
  }
});

test('a schema is waited for as long as patience lasts, and whoever waits is told once', async (t) => {
  const reasons: unknown[] = [];
  const options = { patienceMs: 3000, onWait: (reason: unknown) => void reasons.push(reason) };
  const db = openPostgres({ url: 'postgres://u@127.0.0.1:1/db', poolMax: 2, now, ...options });
  t.after(() => db.close());
  await assert.rejects(db.migrate([]), unavailable);
  assert.equal(reasons.length, 1);
});
