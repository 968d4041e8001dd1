import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { loadMigrations, pendingMigrations } from '../../src/db/migrations.ts';

const step = (version: number, name = `step_${version}`, checksum = `sum${version}`) => ({
  version, name, checksum, sql: `-- ${name}`,
});
const [one, two, three] = [step(1), step(2), step(3)];

test('what was not applied is pending, in order', () => {
  const cases: [ReturnType<typeof step>[], ReturnType<typeof step>[], number[]][] = [
    [[], [], []],
    [[], [one, two, three], [1, 2, 3]],
    [[], [three, one, two], [1, 2, 3]],
    [[one], [one, two, three], [2, 3]],
    [[two, one], [one, two, three], [3]],
    [[one, two, three], [one, two, three], []],
    [[step(1, 'renamed', 'sum1')], [one, two], [2]],
  ];
  for (const [applied, available, versions] of cases) {
    assert.deepEqual(pendingMigrations(applied, available).map(({ version }) => version), versions);
  }
});

test('a database and code that do not belong together are told apart in a sentence', () => {
  const cases: [ReturnType<typeof step>[], ReturnType<typeof step>[], RegExp][] = [
    [[step(1, 'step_1', 'other')], [one, two], /0001_step_1 was changed after .*restore its text/],
    [[one, two, three], [one, two], /newer than this code.*0003_step_3.*newest known here is 2/],
    [[one], [], /newer than this code/],
    [[step(0)], [one], /newer than this code.*0000_step_0/],
    [[one, three], [one, two, three], /lacks 0002_step_2/],
    [[], [one, step(2, 'a'), step(2, 'b')], /0002_a and 0002_b have the same version/],
    [[], [one, three], /no migration 0002, though there is 0003_step_3/],
    [[], [two], /no migration 0001/],
    [[], [step(0), one], /no migration 0001, though there is 0000_step_0/],
  ];
  for (const [applied, available, reason] of cases) {
    assert.throws(() => pendingMigrations(applied, available), { name: 'Error', message: reason });
  }
});

function folder(t: TestContext, files: Record<string, string>): URL {
  const path = mkdtempSync(join(tmpdir(), 'migrations-'));
  t.after(() => rmSync(path, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  return pathToFileURL(`${path}/`);
}

test('migrations are the .sql files of a folder, by number', (t) => {
  const sql = 'CREATE TABLE a (id text);\n';
  const loaded = loadMigrations(folder(t, { '0002_b.sql': 'SELECT 2', '0001_create_a.sql': sql, 'README.md': 'x' }));
  const checksum = createHash('sha256').update(sql).digest('hex');
  assert.equal(loaded.length, 2);
  assert.deepEqual(loaded[0], { version: 1, name: 'create_a', sql, checksum });
  assert.deepEqual([loaded[1]?.version, loaded[1]?.name, loaded[1]?.sql], [2, 'b', 'SELECT 2']);
});

test('line ends do not make another migration of it', (t) => {
  const [unix] = loadMigrations(folder(t, { '0001_a.sql': 'SELECT 1;\nSELECT 2;\n' }));
  const [windows] = loadMigrations(folder(t, { '0001_a.sql': 'SELECT 1;\r\nSELECT 2;\r\n' }));
  assert.deepEqual(windows, unix);
});

test('a .sql file that is not named like a migration is refused', (t) => {
  for (const name of ['1_a.sql', '0001-a.sql', '0001_.sql', '0001_A.sql', 'a.sql', '00001_a.sql']) {
    assert.throws(() => loadMigrations(folder(t, { [name]: '' })), { message: new RegExp(`^${name} is no migration`) });
  }
});
