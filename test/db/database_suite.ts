import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Failure } from '../../src/core/errors.ts';
import type { Database, Outcome, Statement } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import { schemaSuite } from './schema_suite.ts';
import { sessionsSuite } from './sessions_suite.ts';
import { usersSuite } from './users_suite.ts';

/** Opens a database of its own for one test, with its schema up to date, and closes it afterwards. */
export type WithDatabase = (story: (db: Database) => Promise<void>) => () => Promise<void>;

const TABLE = 'CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, number BIGINT CHECK (number <> -13), word TEXT)';
/** The same for an engine whose tables know less types. */
const SQLITE_TABLE = `${TABLE.replace('BIGINT', 'INTEGER')} STRICT`;

const put = (id: string, number: number | null = 1, word: string | null = null): Statement => ({
  sql: 'INSERT INTO things (id, number, word) VALUES ($1, $2, $3)',
  params: [id, number, word],
  changes: 1,
});
const ids = async (db: Database): Promise<unknown[]> =>
  (await db.all('SELECT id FROM things ORDER BY id', [])).map(([id]) => id);

/** Shows that an engine keeps what `Database` and the verbs promise. `open` gives an empty one. */
export function databaseSuite(name: string, open: () => Promise<Database>, skip?: string): void {
  const within: WithDatabase = (story) => async () => {
    const db = await open();
    try {
      await migrate(db);
      await story(db);
    } finally {
      await db.close();
    }
  };
  const withThings: WithDatabase = (story) =>
    within(async (db) => {
      await db.write([{ sql: db.kind === 'sqlite' ? SQLITE_TABLE : TABLE, params: [] }]);
      await story(db);
    });

  describe(name, skip === undefined ? {} : { skip }, () => {
    describe('the three verbs', () => verbs(withThings));
    describe('a schema', () => schemaSuite(within));
    describe('users', () => usersSuite(within));
    describe('sessions', () => sessionsSuite(within));
  });
}

function verbs(withThings: WithDatabase): void {
  test(
    'what is written is read back as it was',
    withThings(async (db) => {
      const rows = [
        ['a', 0, ''],
        ['b', -1, "it's; -- $1 ?1 \\ \" \n"],
        ['c', 1_769_860_800_250, 'Ünïcode 🦆 \u{10FFFF}'],
        ['d', Number.MAX_SAFE_INTEGER, '%_'],
        ['e', null, null],
      ] as const;
      for (const [id, number, word] of rows) await db.write([put(id, number, word)]);
      assert.deepEqual(await db.all('SELECT id, number, word FROM things ORDER BY id', []), rows);
      for (const row of rows) {
        assert.deepEqual(await db.one('SELECT id, number, word FROM things WHERE id = $1', [row[0]]), row);
      }
    }),
  );

  test(
    'one is the first row or undefined, all is every row or none',
    withThings(async (db) => {
      assert.equal(await db.one('SELECT id FROM things', []), undefined);
      assert.deepEqual(await db.all('SELECT id FROM things', []), []);
      await db.write([put('a'), put('b')]);
      assert.deepEqual(await db.one('SELECT id FROM things ORDER BY id', []), ['a']);
      assert.deepEqual(await db.all('SELECT id FROM things ORDER BY id', []), [['a'], ['b']]);
    }),
  );

  test(
    'a parameter may be used twice and in any order',
    withThings(async (db) => {
      await db.write([put('a', 1, 'x'), put('b', 2, 'x')]);
      const sql = 'SELECT id FROM things WHERE word = $2 AND number = $1 AND (number = $1 OR word <> $2)';
      assert.deepEqual(await db.all(sql, [2, 'x']), [['b']]);
    }),
  );

  test(
    'a write says what each statement did',
    withThings(async (db) => {
      const outcomes = await db.write([
        put('a'),
        put('b'),
        { sql: "UPDATE things SET word = 'w' RETURNING id", params: [] },
        { sql: 'UPDATE things SET number = 2 WHERE id = $1', params: ['none'] },
        { sql: 'DELETE FROM things', params: [] },
      ]);
      const rows = (outcome: Outcome): unknown => outcome.rows.map(([id]) => id).sort();
      assert.deepEqual(outcomes?.map(({ changes }) => changes), [1, 1, 2, 0, 2]);
      assert.deepEqual(outcomes.map(rows), [[], [], ['a', 'b'], [], []]);
    }),
  );

  const missed: [what: string, statements: Statement[]][] = [
    ['the first statement', [{ sql: 'DELETE FROM things WHERE id = $1', params: ['x'], changes: 1 }, put('n')]],
    ['the last statement', [put('n'), { sql: 'DELETE FROM things WHERE id = $1', params: ['x'], changes: 1 }]],
    ['a lone statement, by too few', [{ sql: 'DELETE FROM things WHERE id = $1', params: ['x'], changes: 1 }]],
    ['a lone statement, by too many', [{ sql: 'DELETE FROM things', params: [], changes: 1 }]],
    ['one of several, by too many', [put('n'), { sql: 'DELETE FROM things', params: [], changes: 1 }, put('m')]],
    ['a RETURNING one', [put('n'), { sql: 'DELETE FROM things RETURNING id', params: [], changes: 1 }]],
    ['an insert that met its like', [
      put('n'),
      { sql: "INSERT INTO things (id) VALUES ('a') ON CONFLICT (id) DO NOTHING", params: [], changes: 1 },
    ]],
  ];
  for (const [what, statements] of missed) {
    test(
      `a write whose expectation is missed by ${what} is undone`,
      withThings(async (db) => {
        await db.write([put('a'), put('b')]);
        assert.equal(await db.write(statements), undefined);
        assert.deepEqual(await ids(db), ['a', 'b']);
      }),
    );
  }

  const broken: [what: string, statement: Statement][] = [
    ['a key that exists', put('a')],
    ['a value that a check refuses', put('x', -13)],
    ['a table that does not exist', { sql: 'DELETE FROM nothing', params: [] }],
    ['a text that is no SQL', { sql: 'DELIT', params: [] }],
  ];
  for (const [what, statement] of broken) {
    test(
      `${what} is an error of ours, undoes its write and leaves the next ones alone`,
      withThings(async (db) => {
        await db.write([put('a')]);
        const isOurs = (error: unknown): boolean => error instanceof Error && !(error instanceof Failure);
        await assert.rejects(db.write([put('b'), statement]), isOurs);
        await assert.rejects(db.write([statement]), isOurs);
        await db.write([put('c')]);
        assert.deepEqual(await ids(db), ['a', 'c']);
      }),
    );
  }

  test(
    'of many writes at once each gets its own answer and undoes only its own',
    withThings(async (db) => {
      await db.write([put('taken')]);
      const missing = { sql: "DELETE FROM things WHERE id = 'x'", params: [], changes: 1 };
      const setNumber = "UPDATE things SET number = $1 WHERE id = 'taken' RETURNING number";
      const kinds = [
        (i: number) => db.write([put(`good ${i}`, i)]),
        (i: number) => db.write([put(`undone ${i}`), missing]),
        (i: number) => db.write([put(`broken ${i}`), put('taken')]),
        (i: number) => db.write([{ sql: setNumber, params: [i] }]),
      ];
      const results = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => kinds[i % 4]!(i)));
      results.forEach((result, i) => {
        if (i % 4 === 0) assert.deepEqual(result, { status: 'fulfilled', value: [{ rows: [], changes: 1 }] });
        if (i % 4 === 1) assert.deepEqual(result, { status: 'fulfilled', value: undefined });
        if (i % 4 === 2) assert.equal(result.status, 'rejected');
        if (i % 4 === 3) assert.deepEqual(result, { status: 'fulfilled', value: [{ rows: [[i]], changes: 1 }] });
      });
      const kept = Array.from({ length: 50 }, (_, i) => `good ${i * 4}`);
      assert.deepEqual(await ids(db), [...kept, 'taken'].sort());
    }),
  );

  test(
    'who has waited for a write reads it, whatever else is read at the time',
    withThings(async (db) => {
      await db.write([put('n', 0)]);
      let done = false;
      const reading = (async () => {
        while (!done) {
          await db.one('SELECT number FROM things WHERE id = $1', ['n']);
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const sql = 'UPDATE things SET number = number + 1 WHERE id = $1 RETURNING number';
      const count = async (): Promise<void> => {
        for (let i = 0; i < 50; i++) {
          const read = db.one('SELECT number FROM things WHERE id = $1', ['n']);
          const written = (await db.write([{ sql, params: ['n'], changes: 1 }]))![0]!.rows[0]![0] as number;
          await read;
          const [now] = (await db.one('SELECT number FROM things WHERE id = $1', ['n']))!;
          assert.ok((now as number) >= written, `${now} was read after ${written} had been written`);
        }
      };
      await Promise.all([count(), count(), count(), count()]).finally(() => (done = true));
      await reading;
      assert.deepEqual(await db.one('SELECT number FROM things', []), [200]);
    }),
  );
}
