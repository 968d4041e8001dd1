import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Database, Migration } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import type { WithDatabase } from './database_suite.ts';

export function schemaSuite(within: WithDatabase): void {
  test(
    'that is up to date has nothing left to apply',
    within(async (db) => assert.deepEqual(await migrate(db), [])),
  );

  test(
    'is brought up to date once, however many want to at the same time',
    within(async (db) => {
      const next = await following(db, 'CREATE TABLE more (id TEXT)');
      const applied = await Promise.all([1, 2, 3].map(() => db.migrate(next)));
      assert.deepEqual(applied.map(({ length }) => length).sort(), [0, 0, 1]);
      assert.deepEqual(await db.all('SELECT id FROM more', []), []);
    }),
  );

  test(
    'with a step that fails is left as it was, and the step can be tried again',
    within(async (db) => {
      const good = (await following(db, 'CREATE TABLE more (id TEXT)')).at(-1)!;
      const halves = await following(db, 'CREATE TABLE half (id TEXT); CREATE TABLE half (id TEXT)');
      const known = halves.slice(0, -1);
      const broken = { ...halves.at(-1)!, version: good.version + 1, name: 'broken' };
      await assert.rejects(db.migrate([...known, good, broken]), /broken.*half/);
      for (const table of ['more', 'half']) {
        await assert.rejects(async () => db.all(`SELECT id FROM ${table}`, []));
      }
      assert.deepEqual(await db.migrate([...known, good]), [good]);
    }),
  );

  test(
    'that was changed, or is newer than the code, is refused and left as it is',
    within(async (db) => {
      const known = await following(db, 'CREATE TABLE more (id TEXT)');
      const older = known.slice(0, -1);
      const changed = [{ ...known[0]!, checksum: 'another' }, ...known.slice(1)];
      await assert.rejects(db.migrate(changed), /was changed/);
      await assert.rejects(async () => db.all('SELECT id FROM more', []));
      await db.migrate(known);
      await assert.rejects(db.migrate(older), /newer than this code/);
      const far = { ...known[0]!, version: known.length + 2 };
      await assert.rejects(db.migrate([...known, far]), /There is no migration/);
    }),
  );

  test(
    'keeps out what the verbs would never write',
    within(async (db) => {
      const sql = `INSERT INTO users (id, email, email_key, role, is_active, password_hash, created_at, updated_at)
        VALUES ($1, 'e', $2, $3, $4, 'h', 0, 0)`;
      const insert = (...params: (string | number)[]) => db.write([{ sql, params }]);
      await insert('1', 'a@a.com', 'user', 1);
      await assert.rejects(insert('2', 'b@a.com', 'root', 1), 'an unknown role');
      await assert.rejects(insert('3', 'c@a.com', 'user', 2), 'a flag that is none');
      await assert.rejects(insert('4', 'a@a.com', 'user', 1), 'an address that is taken');
      assert.deepEqual(await db.all('SELECT id FROM users', []), [['1']]);
    }),
  );
}

/** The migrations that have been applied, and one more. */
async function following(db: Database, sql: string): Promise<Migration[]> {
  const applied = await db.all('SELECT version, name, checksum FROM schema_migrations ORDER BY version', []);
  const known = applied.map(([version, name, checksum]) => ({ version, name, checksum, sql: '' }) as Migration);
  return [...known, { version: known.length + 1, name: 'following', checksum: 'sum', sql }];
}
