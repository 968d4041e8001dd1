import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Failure } from '../../src/core/errors.ts';
import type { Database, Statement } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import { openPostgres } from '../../src/db/postgres.ts';
import * as sessions from '../../src/db/sessions.ts';
import * as users from '../../src/db/users.ts';
import { openConnection } from '../../src/wire/postgres.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { createDatabase, now, openProxy, withoutServer } from '../helpers/postgres.ts';
import type { FreshDatabase } from '../helpers/postgres.ts';
import { startSession } from './sessions_suite.ts';
import { addUser, NOW } from './users_suite.ts';

const unchanged = { role: undefined, isActive: undefined, fullName: undefined };

describe('statements by key, without SERIALIZABLE', { skip: withoutServer }, () => {
  let database: FreshDatabase;
  let db: Database;
  before(async () => {
    database = await createDatabase();
    db = openPostgres({ url: database.url, poolMax: 8, now, timeoutMs: 60_000 });
    await migrate(db);
    await db.write([{ sql: 'CREATE TABLE things (id text PRIMARY KEY, n bigint NOT NULL)', params: [] }]);
  });
  after(async () => {
    await db.close();
    await database.drop();
  });

  const put = (id: string): Statement => ({
    sql: 'INSERT INTO things VALUES ($1, 0) ON CONFLICT (id) DO NOTHING', params: [id], changes: 1, byKey: true,
  });
  const step = (id: string, from: number): Statement => ({
    sql: 'UPDATE things SET n = n + 1 WHERE id = $1 AND n = $2', params: [id, from], changes: 1, byKey: true,
  });
  const valueOf = async (id: string) => (await db.one('SELECT n FROM things WHERE id = $1', [id]))?.[0];

  /** Begins a transaction elsewhere that has done `sql`, lets `statement` wait for it, and ends it with `end`. */
  async function behind(sql: string, end: 'COMMIT' | 'ROLLBACK', statement: Statement): Promise<boolean> {
    const other = await openConnection(toPostgresAddress(database.url), { greeting: '', timeoutMs: 10_000 });
    try {
      await other.script(`BEGIN; ${sql}`, 10_000);
      const writing = db.write([statement]);
      const waiting = `SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%things%'`;
      while ((await db.one(waiting, []))?.[0] !== 1) await sleep(5);
      await other.script(end, 10_000);
      return (await writing) !== undefined;
    } finally {
      other.close();
    }
  }

  test('a condition on the own row is looked at again behind another transaction', async () => {
    const stories: [sql: string, end: 'COMMIT' | 'ROLLBACK', statement: (id: string) => Statement, done: boolean][] = [
      ["UPDATE things SET n = 5 WHERE id = 'ID'", 'COMMIT', (id) => step(id, 0), false],
      ["UPDATE things SET n = 5 WHERE id = 'ID'", 'ROLLBACK', (id) => step(id, 0), true],
      ["UPDATE things SET n = 0 WHERE id = 'ID'", 'COMMIT', (id) => step(id, 0), true],
      ["DELETE FROM things WHERE id = 'ID'", 'COMMIT', (id) => step(id, 0), false],
      ["INSERT INTO things VALUES ('ID new', 7)", 'COMMIT', (id) => put(`${id} new`), false],
      ["INSERT INTO things VALUES ('ID new', 7)", 'ROLLBACK', (id) => put(`${id} new`), true],
    ];
    for (const [i, [sql, end, statement, done]] of stories.entries()) {
      await db.write([put(`b${i}`)]);
      const title = `${sql}; ${end}`;
      assert.equal(await behind(sql.replace('ID', `b${i}`), end, statement(`b${i}`)), done, title);
    }
    assert.equal(await valueOf('b0'), 5);
    assert.equal(await valueOf('b3'), undefined);
  });

  test('each step of a value is taken once, whoever competes for it', async () => {
    await db.write([put('hot')]);
    for (let n = 0; n < 10; n += 1) {
      const won = await Promise.all(Array.from({ length: 12 }, () => db.write([step('hot', n)])));
      assert.equal(won.filter((outcome) => outcome !== undefined).length, 1);
    }
    assert.equal(await valueOf('hot'), 10);
  });

  test('together with others they are one transaction as ever', async () => {
    await db.write([put('t')]);
    assert.equal(await db.write([step('t', 0), step('t', 0)]), undefined);
    assert.equal(await valueOf('t'), 0);
    assert.equal((await db.write([step('t', 0), step('t', 1)]))?.length, 2);
  });

  test('one whose answer was lost is not tried again', async (t) => {
    const proxy = await openProxy(database.port);
    t.after(proxy.close);
    const through = openPostgres({ url: proxy.through(database.url), poolMax: 1, now });
    t.after(() => through.close());
    await db.write([put('lost')]);
    await through.write([step('lost', 0)]);
    proxy.cutAfter = 0;
    const lost = { sql: 'UPDATE things SET n = n + 1 WHERE id = $1', params: ['lost'], changes: 1, byKey: true };
    await assert.rejects(through.write([lost]), (error) => error instanceof Failure && error.code === 'unavailable');
    assert.equal(await valueOf('lost'), 2);
  });

  test('a rotation never brings back a session that ends at the same moment', async () => {
    for (let round = 0; round < 15; round += 1) {
      const user = await addUser(db, `r${round}@a.com`);
      const { id, refreshJti } = await startSession(db, user);
      const enders = [
        () => users.manage(db, user.id, { ...unchanged, isActive: false }, NOW),
        () => sessions.endAll(db, user.id),
        () => users.changePassword(db, { id: user.id, before: user.passwordHash, after: 'h', keep: undefined }, NOW),
        () => users.remove(db, user.id),
        () => sessions.end(db, id),
      ];
      const end = enders[round % enders.length]!;
      const next = randomUUID();
      const rename = () => users.setFullName(db, user.id, 'N', NOW);
      await Promise.all([sessions.rotate(db, id, refreshJti, next, NOW), end(), rename()]);
      assert.equal(await sessions.bySid(db, id), undefined);
      assert.equal(await sessions.rotate(db, id, next, randomUUID(), NOW), false);
    }
  });

  test('names that change meanwhile do not let the last administrators go', async () => {
    for (let round = 0; round < 10; round += 1) {
      const admins = await Promise.all(['a', 'b', 'c'].map((name) => addUser(db, `${name}${round}@b.com`, 'admin')));
      await Promise.all(
        admins.flatMap(({ id }) => [
          users.manage(db, id, { ...unchanged, role: 'user' }, NOW), users.setFullName(db, id, 'N', NOW),
        ]),
      );
      const left = await db.all("SELECT id FROM users WHERE role = 'admin' AND is_active = 1", []);
      assert.equal(left.length, 1);
      const found = await users.byId(db, left[0]![0] as string);
      assert.equal(found?.fullName, 'N');
      await db.write([{ sql: "UPDATE users SET role = 'user'", params: [] }]);
    }
  });

  /** Runs `work` with writes that end only when `meanwhile` has happened, having read what was there before. */
  async function around<T>(work: (db: Database) => Promise<T>, meanwhile: () => Promise<void>): Promise<T> {
    const other = await openConnection(toPostgresAddress(database.url), { greeting: '', timeoutMs: 10_000 });
    try {
      await other.script('SELECT pg_advisory_lock(1)', 10_000);
      const held: Statement = { sql: 'SELECT pg_advisory_xact_lock(1)::text', params: [] };
      const working = work({ ...db, write: (statements) => db.write([...statements, held]) });
      const waiting = `SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'advisory'`;
      while ((await db.one(waiting, []))?.[0] !== 1) await sleep(5);
      await meanwhile();
      await other.script('SELECT pg_advisory_unlock(1)', 10_000);
      return await working;
    } finally {
      other.close();
    }
  }

  test('a name that changes in between hides from nobody what changes behind it', async () => {
    const rename = (id: string) => users.setFullName(db, id, 'N', NOW);
    const disabled = { ...unchanged, isActive: false };
    const goes = [
      async (on: Database, id: string) => users.remove(on, id),
      async (on: Database, id: string) => (await users.manage(on, id, disabled, NOW)) !== undefined,
    ];
    for (const [i, go] of goes.entries()) {
      const [one, two] = [await addUser(db, `one${i}@c.com`, 'admin'), await addUser(db, `two${i}@c.com`, 'admin')];
      const gone = await around((held) => go(held, one.id), async () => {
        await rename(two.id);
        assert.ok(await go(db, two.id));
      });
      assert.equal(gone, false, 'one administrator is left');
      await db.write([{ sql: "UPDATE users SET role = 'user'", params: [] }]);
    }

    const user = await addUser(db, 'd@d.com');
    const session = { ...(await startSession(db, user)), id: randomUUID() };
    const change = { id: user.id, before: user.passwordHash, after: 'h', keep: undefined };
    const started = await around((held) => sessions.start(held, session, user.passwordHash, undefined), async () => {
      await rename(user.id);
      assert.ok(await users.changePassword(db, change, NOW));
    });
    assert.equal(started, false, 'nobody logs in with a password that was changed');
    assert.deepEqual(await sessions.live(db, user.id, NOW), []);
  });
});
