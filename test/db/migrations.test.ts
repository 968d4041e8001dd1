import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import type { Migration } from '../../src/db/database.ts';
import { loadMigrations, pendingMigrations } from '../../src/db/migrations.ts';

const step = (version: number, checksum = `sum ${version}`): Migration => ({
  version,
  name: `step_${version}`,
  sql: '',
  checksum,
});

const cases: [title: string, applied: Migration[], available: Migration[], expected: number[] | RegExp][] = [
  ['an empty database lacks all', [], [step(1), step(2)], [1, 2]],
  ['what is applied is not applied again', [step(1)], [step(1), step(2), step(3)], [2, 3]],
  ['the order of the files does not matter', [step(1)], [step(3), step(1), step(2)], [2, 3]],
  ['nothing is left when all are applied', [step(1), step(2)], [step(1), step(2)], []],
  ['a changed text is refused', [step(1), step(2, 'other')], [step(1), step(2)], /0002_step_2 was changed/],
  ['a newer database is refused', [step(1), step(2)], [step(1)], /newer than this code.*0002_step_2/],
  ['a gap in the files is refused', [], [step(1), step(3)], /no migration 0002/],
  ['files that do not begin with 1 are refused', [], [step(2)], /no migration 0001/],
  ['a number used twice is refused', [], [step(1), step(2), step(2)], /same version/],
  ['a step that was left out is refused', [step(2)], [step(1), step(2)], /lacks 0001_step_1/],
];
for (const [title, applied, available, expected] of cases) {
  test(`${title}: applied ${applied.map(({ version }) => version)}, known ${available.map(({ version }) => version)}`, () => {
    const pending = () => pendingMigrations(applied, available).map(({ version }) => version);
    if (expected instanceof RegExp) assert.throws(pending, expected);
    else assert.deepEqual(pending(), expected);
  });
}

test('migrations are the numbered SQL files of a folder, whatever ends their lines', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-migrations-'));
  try {
    const url = pathToFileURL(`${folder}/`);
    writeFileSync(path.join(folder, '0002_two.sql'), 'SELECT 2;\n');
    writeFileSync(path.join(folder, '0001_one_more.sql'), 'SELECT\n1;\n');
    writeFileSync(path.join(folder, 'README.md'), 'no migration');
    const checksum = createHash('sha256').update('SELECT\n1;\n').digest('hex');
    const loaded = loadMigrations(url);
    assert.deepEqual(loaded[0], { version: 1, name: 'one_more', sql: 'SELECT\n1;\n', checksum });
    assert.deepEqual(loaded.map(({ name }) => name), ['one_more', 'two']);
    writeFileSync(path.join(folder, '0001_one_more.sql'), 'SELECT\r\n1;\r\n');
    assert.equal(loadMigrations(url)[0]!.checksum, checksum);
    writeFileSync(path.join(folder, '3_three.sql'), '');
    assert.throws(() => loadMigrations(url), /3_three\.sql is no migration's name/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
