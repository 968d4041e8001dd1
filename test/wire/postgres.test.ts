import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openConnection } from '../../src/wire/postgres.ts';
import type { Connection } from '../../src/wire/postgres.ts';
import { ConnectionLost, NoConnection, PostgresError } from '../../src/wire/postgres_errors.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { createDatabase, openProxy, withoutServer } from '../helpers/postgres.ts';
import type { FreshDatabase } from '../helpers/postgres.ts';

const open = (url: string, timeoutMs = 60_000): Promise<Connection> =>
  openConnection(toPostgresAddress(url), { greeting: '', timeoutMs });

const query = (sql: string, ...params: (string | number | null)[]) => ({ sql, params });

describe('a connection', { skip: withoutServer }, () => {
  let database: FreshDatabase;
  before(async () => {
    database = await createDatabase();
  });
  after(() => database.drop());

  async function connected(url: string, story: (connection: Connection) => Promise<void>): Promise<void> {
    const connection = await open(url);
    try {
      await story(connection);
    } finally {
      connection.close();
    }
  }

  test('answers every statement of a batch, in order, also when asked again', () =>
    connected(database.url, async (connection) => {
      await connection.script('CREATE TABLE batch (id text PRIMARY KEY, n bigint, small integer)', 60_000);
      const batch = [
        query('INSERT INTO batch VALUES ($1, $2, 1), ($3, 2, $4)', 'a', 1, 'é😀', null),
        query('SELECT id, n, small FROM batch ORDER BY n'),
        query('UPDATE batch SET n = n + 10 RETURNING id, n'),
        query('SELECT id, n, small FROM batch WHERE id = $1', 'nobody'),
        query(''),
        query('DELETE FROM batch'),
      ];
      for (let round = 0; round < 3; round += 1) {
        const results = await connection.run(batch, 60_000);
        assert.deepEqual(results, [
          { rows: [], changes: 2 },
          { rows: [['a', 1, 1], ['é😀', 2, null]], changes: 0 },
          { rows: [['a', 11], ['é😀', 12]], changes: 2 },
          { rows: [], changes: 0 },
          { rows: [], changes: 0 },
          { rows: [], changes: 2 },
        ]);
      }
      assert.deepEqual(await connection.run([], 60_000), []);
    }));

  test('undoes a batch of which one statement is refused, and works on', () =>
    connected(database.url, async (connection) => {
      await connection.script('CREATE TABLE undone (id text PRIMARY KEY)', 60_000);
      const insert = query('INSERT INTO undone VALUES ($1)', 'a');
      for (let round = 0; round < 2; round += 1) {
        await assert.rejects(connection.run([insert, insert, query('SELECT 1')], 60_000), {
          name: 'PostgresError',
          sqlstate: '23505',
          constraint: 'undone_pkey',
          sql: insert.sql,
        });
        assert.equal(connection.status, 'idle');
        const [left] = await connection.run([query('SELECT count(*) FROM undone')], 60_000);
        assert.deepEqual(left?.rows, [[0]]);
      }
      await assert.rejects(connection.run([query('SELECT 1'), query('SELEKT')], 60_000), { sqlstate: '42601' });
      await assert.rejects(connection.run([query('SELECT $1::int', 'x')], 60_000), { sqlstate: '22P02' });
      await assert.rejects(connection.run([query('SELECT $1::text', 'a\0b')], 60_000), { sqlstate: '22021' });
      await assert.rejects(connection.run([query('SELECT $1::int')], 60_000), PostgresError);
      await assert.rejects(connection.run([query('SELECT $1::int', 0.5)], 60_000), /safe integer/);
      assert.deepEqual((await connection.run([query('SELECT $1::int', 5)], 60_000))[0]?.rows, [[5]]);
    }));

  test('refuses to read what is neither text nor a safe integer, and works on', () =>
    connected(database.url, async (connection) => {
      for (const sql of ['SELECT true AS flag', 'SELECT 1.5', 'SELECT now()', 'SELECT 9007199254740992']) {
        await assert.rejects(connection.run([query(sql)], 60_000), TypeError, sql);
        await assert.rejects(connection.run([query(sql)], 60_000), TypeError, `${sql}, prepared`);
      }
      const texts = query("SELECT 'a', 'b'::varchar, 'c'::name");
      assert.deepEqual((await connection.run([texts], 60_000))[0]?.rows, [['a', 'b', 'c']]);
    }));

  test('keeps a bounded number of statements prepared and answers all the same', () =>
    connected(database.url, async (connection) => {
      for (let n = 0; n < 300; n += 1) {
        assert.deepEqual((await connection.run([query(`SELECT ${n}`)], 60_000))[0]?.rows, [[n]]);
      }
      const late = [query('SELECT 1000'), query('SELECT 1000'), query('SELECT 1001')];
      assert.deepEqual((await connection.run(late, 60_000)).map(({ rows }) => rows[0]?.[0]), [1000, 1000, 1001]);
      const [kept] = await connection.run([query('SELECT count(*) FROM pg_prepared_statements')], 60_000);
      assert.deepEqual(kept?.rows, [[256]]);
    }));

  test('ends when the statements prepared on it are gone', () =>
    connected(database.url, async (connection) => {
      await connection.run([query('SELECT 1')], 60_000);
      await connection.script('DEALLOCATE ALL', 60_000);
      await assert.rejects(connection.run([query('SELECT 1')], 60_000), { sqlstate: '26000', stale: true });
      assert.equal(connection.ended, true);
    }));

  test('takes long values and many rows', () =>
    connected(database.url, async (connection) => {
      const long = 'é'.repeat(300_000);
      const [echo] = await connection.run([query('SELECT $1::text, length($1)', long)], 60_000);
      assert.deepEqual(echo?.rows, [[long, 300_000]]);
      const [many] = await connection.run([query('SELECT n FROM generate_series(1, 50000) n')], 60_000);
      assert.equal(many?.rows.length, 50_000);
      assert.deepEqual(many?.rows[49_999], [50_000]);
    }));

  test('does one batch at a time', () =>
    connected(database.url, async (connection) => {
      const first = connection.run([query('SELECT 1')], 60_000);
      await assert.rejects(connection.run([query('SELECT 2')], 60_000), /one batch at a time/);
      assert.deepEqual((await first)[0]?.rows, [[1]]);
    }));

  test('ends when the answer does not come in time', async () => {
    const connection = await open(database.url);
    await assert.rejects(connection.run([query('SELECT count(*) FROM pg_sleep(60)')], 100), (error) => {
      return error instanceof ConnectionLost && error.contagious;
    });
    assert.equal(connection.ended, true);
    await assert.rejects(connection.run([query('SELECT 1')], 60_000), ConnectionLost);
  });

  test('ends when the server ends it, in use or idle', async () => {
    const [used, idle] = [await open(database.url), await open(database.url)];
    const ended = new Promise<Error>((resolve) => {
      idle.onEnd = resolve;
    });
    const busy = used.run([query('SELECT count(*) FROM pg_sleep(60)')], 60_000);
    const terminate = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND datname = current_database()`;
    await Promise.all([
      assert.rejects(busy, (error: Error) => {
        return error instanceof ConnectionLost && (error.cause as PostgresError).sqlstate === '57P01';
      }),
      connected(database.url, async (connection) => {
        await connection.run([query(terminate)], 60_000);
      }),
    ]);
    assert.ok((await ended) instanceof ConnectionLost);
  });

  test('reads an answer that arrives byte by byte', async (t) => {
    const proxy = await openProxy(database.port);
    t.after(proxy.close);
    proxy.drip = true;
    await connected(proxy.through(database.url), async (connection) => {
      const batch = [query("SELECT 'é😀', 7"), query('SELECT n FROM generate_series(1, 3) n')];
      const results = await connection.run(batch, 60_000);
      assert.deepEqual(results.map(({ rows }) => rows), [[['é😀', 7]], [[1], [2], [3]]]);
    });
  });

  test('cut after any byte the server sends, it is lost, and nothing is taken for an answer', async (t) => {
    const measuring = await openProxy(database.port);
    t.after(measuring.close);
    const once = async (url: string): Promise<unknown> => {
      const connection = await open(url);
      return connection.run([query("SELECT 'text', 7 WHERE 1 = $1", 1)], 60_000).finally(() => connection.close());
    };
    const answer = await once(measuring.through(database.url));
    const total = measuring.passed;
    let next = 0;
    const worker = async (): Promise<void> => {
      const proxy = await openProxy(database.port);
      t.after(proxy.close);
      for (let cut = next++; cut < total; cut = next++) {
        proxy.cutAfter = cut;
        await assert.rejects(once(proxy.through(database.url)), (error) => {
          return error instanceof ConnectionLost || error instanceof NoConnection;
        }, `cut after ${cut} of ${total}`);
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    assert.deepEqual(answer, [{ rows: [['text', 7]], changes: 0 }]);
  });
});
