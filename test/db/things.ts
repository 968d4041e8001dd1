import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { Failure } from '../../src/core/errors.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import { openSqlite } from '../../src/db/sqlite.ts';

export const THINGS = 'CREATE TABLE things (id INTEGER PRIMARY KEY, word TEXT) STRICT';

/** A refusal that will pass. */
export const isAway = (error: unknown): boolean =>
  error instanceof Failure && error.code === 'unavailable' && error.details.retryAfter === 1;

/** A SQLite file in a folder of its own, migrated, with a table of things; both are gone afterwards. */
export async function withThings(
  story: (db: Database, file: string) => Promise<void>,
  lockTimeoutMs = 200,
): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-things-'));
  const file = path.join(folder, 'data/app.db');
  const db = openSqlite({ file, lockTimeoutMs });
  try {
    await migrate(db);
    await db.write([{ sql: THINGS, params: [] }]);
    await story(db, file);
  } finally {
    await db.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const put = (db: Database, id: number, word = '') =>
  db.write([{ sql: 'INSERT INTO things (id, word) VALUES ($1, $2)', params: [id, word], changes: 1 }]);

export const ids = async (db: Database) => (await db.all('SELECT id FROM things ORDER BY id', [])).map(([id]) => id);
