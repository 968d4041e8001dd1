import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openConnection } from '../../src/wire/postgres.ts';
import type { Connection } from '../../src/wire/postgres.ts';
import { ConnectionLost, NoConnection, PostgresError } from '../../src/wire/postgres_errors.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { createDatabase, openListener, openProxy, withoutServer } from '../helpers/postgres.ts';
import type { FreshDatabase } from '../helpers/postgres.ts';

const open = (url: string, timeoutMs = 5000): Promise<Connection> =>
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
      await connection.script('CREATE TABLE batch (id text PRIMARY KEY, n bigint, small integer)', 5000);
      const batch = [
        query('INSERT INTO batch VALUES ($1, $2, 1), ($3, 2, $4)', 'a', 1, 'é😀', null),
        query('SELECT id, n, small FROM batch ORDER BY n'),
        query('UPDATE batch SET n = n + 10 RETURNING id, n'),
        query('SELECT id, n, small FROM batch WHERE id = $1', 'nobody'),
        query(''),
        query('DELETE FROM batch'),
      ];
      for (let round = 0; round < 3; round += 1) {
        const results = await connection.run(batch, 5000);
        assert.deepEqual(results, [
          { rows: [], changes: 2 },
          { rows: [['a', 1, 1], ['é😀', 2, null]], changes: 0 },
          { rows: [['a', 11], ['é😀', 12]], changes: 2 },
          { rows: [], changes: 0 },
          { rows: [], changes: 0 },
          { rows: [], changes: 2 },
        ]);
      }
      assert.deepEqual(await connection.run([], 5000), []);
    }));

  test('undoes a batch of which one statement is refused, and works on', () =>
    connected(database.url, async (connection) => {
      await connection.script('CREATE TABLE undone (id text PRIMARY KEY)', 5000);
      const insert = query('INSERT INTO undone VALUES ($1)', 'a');
      for (let round = 0; round < 2; round += 1) {
        await assert.rejects(connection.run([insert, insert, query('SELECT 1')], 5000), {
          name: 'PostgresError',
          sqlstate: '23505',
          constraint: 'undone_pkey',
          sql: insert.sql,
        });
        assert.equal(connection.status, 'idle');
        assert.deepEqual(await connection.run([query('SELECT count(*) FROM undone')], 5000), [{ rows: [[0]], changes: 0 }]);
      }
      await assert.rejects(connection.run([query('SELECT 1'), query('SELEKT')], 5000), { sqlstate: '42601' });
      await assert.rejects(connection.run([query('SELECT $1::int', 'x')], 5000), { sqlstate: '22P02' });
      await assert.rejects(connection.run([query('SELECT $1::text', 'a\0b')], 5000), { sqlstate: '22021' });
      await assert.rejects(connection.run([query('SELECT $1::int')], 5000), PostgresError);
      await assert.rejects(connection.run([query('SELECT $1::int', 0.5)], 5000), /safe integer/);
      assert.deepEqual((await connection.run([query('SELECT $1::int', 5)], 5000))[0]?.rows, [[5]]);
    }));

  test('refuses to read what is neither text nor a safe integer, and works on', () =>
    connected(database.url, async (connection) => {
      for (const sql of ['SELECT true AS flag', 'SELECT 1.5', 'SELECT now()', 'SELECT 9007199254740992']) {
        for (let round = 0; round < 2; round += 1) await assert.rejects(connection.run([query(sql)], 5000), TypeError, sql);
      }
      const texts = query("SELECT 'a', 'b'::varchar, 'c'::name");
      assert.deepEqual((await connection.run([texts], 5000))[0]?.rows, [['a', 'b', 'c']]);
    }));

  test('keeps a bounded number of statements prepared and answers all the same', () =>
    connected(database.url, async (connection) => {
      for (let n = 0; n < 300; n += 1) {
        assert.deepEqual((await connection.run([query(`SELECT ${n}`)], 5000))[0]?.rows, [[n]]);
      }
      const late = [query('SELECT 1000'), query('SELECT 1000'), query('SELECT 1001')];
      assert.deepEqual((await connection.run(late, 5000)).map(({ rows }) => rows[0]?.[0]), [1000, 1000, 1001]);
      const [kept] = await connection.run([query('SELECT count(*) FROM pg_prepared_statements')], 5000);
      assert.deepEqual(kept?.rows, [[256]]);
    }));

  test('ends when the statements prepared on it are gone', () =>
    connected(database.url, async (connection) => {
      await connection.run([query('SELECT 1')], 5000);
      await connection.script('DEALLOCATE ALL', 5000);
      await assert.rejects(connection.run([query('SELECT 1')], 5000), { sqlstate: '26000', stale: true });
      assert.equal(connection.ended, true);
    }));

  test('takes long values and many rows', () =>
    connected(database.url, async (connection) => {
      const long = 'é'.repeat(300_000);
      assert.deepEqual((await connection.run([query('SELECT $1::text, length($1)', long)], 5000))[0]?.rows, [[long, 300_000]]);
      const [many] = await connection.run([query('SELECT n FROM generate_series(1, 50000) n')], 5000);
      assert.equal(many?.rows.length, 50_000);
      assert.deepEqual(many?.rows[49_999], [50_000]);
    }));

  test('does one batch at a time', () =>
    connected(database.url, async (connection) => {
      const first = connection.run([query('SELECT 1')], 5000);
      await assert.rejects(connection.run([query('SELECT 2')], 5000), /one batch at a time/);
      assert.deepEqual((await first)[0]?.rows, [[1]]);
    }));

  test('ends when the answer does not come in time', async () => {
    const connection = await open(database.url);
    await assert.rejects(connection.run([query('SELECT count(*) FROM pg_sleep(5)')], 100), (error) => {
      return error instanceof ConnectionLost && error.contagious;
    });
    assert.equal(connection.ended, true);
    await assert.rejects(connection.run([query('SELECT 1')], 5000), ConnectionLost);
  });

  test('ends when the server ends it, in use or idle', async () => {
    const [used, idle] = [await open(database.url), await open(database.url)];
    const ended = new Promise<Error>((resolve) => {
      idle.onEnd = resolve;
    });
    const busy = used.run([query('SELECT count(*) FROM pg_sleep(5)')], 5000);
    const terminate = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND datname = current_database()`;
    await Promise.all([
      assert.rejects(busy, (error: Error) => {
        return error instanceof ConnectionLost && (error.cause as PostgresError).sqlstate === '57P01';
      }),
      connected(database.url, async (connection) => {
        await connection.run([query(terminate)], 5000);
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
      const results = await connection.run(batch, 5000);
      assert.deepEqual(results.map(({ rows }) => rows), [[['é😀', 7]], [[1], [2], [3]]]);
    });
  });

  test('cut after any byte the server sends, it is lost, and nothing is taken for an answer', async (t) => {
    const measuring = await openProxy(database.port);
    t.after(measuring.close);
    const once = async (url: string): Promise<unknown> => {
      const connection = await open(url);
      return connection.run([query("SELECT 'text', 7 WHERE 1 = $1", 1)], 5000).finally(() => connection.close());
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

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const letIn = bytes('52 00000008 00000000  5a 00000005 49');
const greeted = bytes('43 00000008 53455400  5a 00000005 49');

test('a server that breaks the protocol before letting us in is left at once', async (t) => {
  const cases: [string, Buffer, RegExp][] = [
    ['garbage', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /no message/],
    ['2 GB declared', bytes('52 7fffffff'), /2147483647 bytes/],
    ['a negative length', bytes('52 ffffffff'), /-1 bytes/],
    ['no authentication', bytes('5a 00000005 49'), /skipped the authentication/],
    ['MD5', bytes('52 0000000c 00000005 01020304'), /scram-sha-256/],
    ['a cleartext password', bytes('52 00000008 00000003'), /cleartext password without TLS/],
    ['Kerberos', bytes('52 00000008 00000002'), /kind 2/],
    ['SASL without SCRAM', Buffer.concat([bytes('52 0000000e 0000000a'), Buffer.from('OTHER\0')]), /no SCRAM-SHA-256/],
    ['a proof out of nowhere', bytes('52 0000000b 0000000c 763d41'), /kind 12/],
    ['a row', bytes('52 00000008 00000000 44 00000006 0000'), /out of turn/],
    ['endless messages', Buffer.alloc(7000, bytes('52 00000008 00000000')), /without end/],
  ];
  for (const [title, answer, reason] of cases) {
    const listener = await openListener((socket) => socket.once('data', () => socket.write(answer)));
    t.after(listener.close);
    await assert.rejects(open(listener.url), (error: Error) => {
      assert.ok(error instanceof NoConnection, title);
      assert.match((error.cause as Error).message, reason, title);
      return true;
    });
  }
});

test('a server that does not answer, or hangs up, does not hold us', async (t) => {
  for (const serve of [() => {}, (socket: { end(): void }) => socket.end()]) {
    const listener = await openListener(serve);
    t.after(listener.close);
    for (const sslmode of ['disable', 'require']) {
      await assert.rejects(open(`${listener.url}?sslmode=${sslmode}`, 100), NoConnection);
    }
  }
});

test('TLS is not talked down, and nothing is smuggled in before it', async (t) => {
  for (const [answer, reason] of [
    ['N', /offers no TLS/],
    ['E', /does not answer an SSLRequest/],
    ['SR', /does not answer an SSLRequest/],
  ] as const) {
    const listener = await openListener((socket) => socket.once('data', () => socket.write(answer)));
    t.after(listener.close);
    await assert.rejects(open(`${listener.url}?sslmode=require`), (error: Error) => {
      assert.match((error.cause as Error).message, reason);
      return true;
    });
  }
});

test('a server that breaks the protocol in an answer loses the connection at once', async (t) => {
  const described = bytes('31 00000004 74 00000006 0000 54 0000001a 0001 6100 00000000 0000 00000017 0004 ffffffff 0000');
  const cases: [string, Buffer][] = [
    ['garbage', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['2 GB declared', Buffer.concat([described, bytes('44 7fffffff')])],
    ['a column of 2 GB', Buffer.concat([described, bytes('32 00000004 44 0000000a 0001 7fffffff')])],
    ['a row without a description', bytes('44 0000000b 0001 00000001 31')],
    ['more columns than described', Buffer.concat([described, bytes('44 00000010 0002 00000001 31 00000001 32')])],
    ['no result', bytes('5a 00000005 49')],
    ['two results', Buffer.concat([described, greeted.subarray(0, 9), greeted])],
    ['an unknown status', Buffer.concat([described, greeted.subarray(0, 9), bytes('5a 00000005 58')])],
    ['authentication again', letIn],
  ];
  for (const [title, answer] of cases) {
    const answers = [letIn, greeted, answer];
    const listener = await openListener((socket) => socket.on('data', () => socket.write(answers.shift() ?? '')));
    t.after(listener.close);
    const connection = await open(listener.url);
    await assert.rejects(connection.run([query('SELECT 1')], 5000), (error: Error) => {
      assert.ok(error instanceof ConnectionLost, title);
      assert.equal(error.message, 'The database broke the protocol.', title);
      return true;
    });
  }
});

test('a server that speaks unasked loses the connection', async (t) => {
  const answers = [letIn, Buffer.concat([greeted, greeted])];
  const listener = await openListener((socket) => socket.on('data', () => socket.write(answers.shift() ?? '')));
  t.after(listener.close);
  const connection = await open(listener.url).catch(() => undefined);
  assert.equal(connection?.ended ?? true, true);
});
