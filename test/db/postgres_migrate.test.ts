import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { openPostgres } from '../../src/db/postgres.ts';
import type { Migration } from '../../src/db/database.ts';
import { createDatabase, now, withoutServer } from '../helpers/postgres.ts';

describe('a PostgreSQL database migrates', { skip: withoutServer }, () => {
  const step = (version: number, sql: string): Migration => ({
    version, name: `step_${version}`, sql, checksum: `sum ${sql}`,
  });
  const first = step(1, 'CREATE TABLE first (id text); CREATE TABLE second (id text);');
  const second = step(2, "INSERT INTO first VALUES ('x')");
  const versions = (migrations: readonly Migration[]) => migrations.map(({ version }) => version);
  const fresh = async (t: TestContext) => {
    const own = await createDatabase();
    const openOne = () => openPostgres({ url: own.url, poolMax: 2, now, timeoutMs: 60_000 });
    const opened = [openOne(), openOne(), openOne()] as const;
    t.after(async () => {
      await Promise.all(opened.map((each) => each.close()));
      await own.drop();
    });
    return opened;
  };

  test('once, however many instances start together', async (t) => {
    const instances = await fresh(t);
    const applied = await Promise.all(instances.map((each) => each.migrate([first, second])));
    assert.deepEqual(applied.map(versions).sort(), [[], [], [1, 2]]);
    assert.deepEqual(await instances[0].all('SELECT id FROM first', []), [['x']]);
    const third = step(3, 'DROP TABLE second');
    assert.deepEqual(versions(await instances[1].migrate([first, second, third])), [3]);
    const remembered = 'SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version';
    const rows = await instances[2].all(remembered, []);
    const expected = [first, second, third].map(({ version, name, checksum }) => [version, name, checksum]);
    assert.deepEqual(rows.map((row) => row.slice(0, 3)), expected);
    assert.ok(rows.every((row) => Math.abs(Number(row[3]) - Date.now()) < 60_000));
  });

  test('all or nothing, and says which was refused', async (t) => {
    const [own] = await fresh(t);
    const broken = step(2, 'INSERT INTO first VALUES (1, 2, 3)');
    await assert.rejects(own.migrate([first, broken]), /Migration 0002_step_2 was refused, and nothing was changed/);
    assert.deepEqual(await own.one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", []), [0]);
    await assert.rejects(own.migrate([first, step(2, 'COMMIT')]), /0002_step_2 must not end the transaction/);
  });

  test('not with code that the database does not belong to', async (t) => {
    const [own] = await fresh(t);
    await own.migrate([first, second]);
    await assert.rejects(own.migrate([first]), /newer than this code/);
    await assert.rejects(own.migrate([{ ...first, checksum: 'other' }, second]), /was changed after/);
    assert.deepEqual(await own.migrate([first, second]), []);
  });
});
