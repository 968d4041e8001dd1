import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openDatabase, sqliteFile } from '../../src/db/session.ts';

const monotonic = (): number => performance.now() * 1e6;

test('the URL picks the engine, and opening it touches nothing', async () => {
  const table: [url: string, kind: string, file: string | undefined][] = [
    ['sqlite:/no/such/folder/app.db', 'sqlite', '/no/such/folder/app.db'],
    ['sqlite::memory:', 'sqlite', ':memory:'],
    ['postgres://nobody@127.0.0.1:1/nothing', 'postgres', undefined],
    ['postgresql://nobody@nowhere.invalid/nothing', 'postgres', undefined],
  ];
  for (const [databaseUrl, kind, file] of table) {
    const db = await openDatabase({ databaseUrl, databasePoolMax: 1 }, { monotonic });
    assert.deepEqual([db.kind, sqliteFile(databaseUrl)], [kind, file]);
    await db.close();
  }
});
