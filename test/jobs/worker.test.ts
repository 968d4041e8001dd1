import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { openPostgres } from '../../src/db/postgres.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import { backoffMs } from '../../src/jobs/worker.ts';
import { createDatabase, withoutServer } from '../helpers/postgres.ts';
import { workerSuite } from './worker_suite.ts';

workerSuite('SQLite', {
  async open() {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'jobs-'));
    const databases = [1, 2].map(() => openSqlite({ file: path.join(folder, 'app.db') }));
    return {
      databases: databases as [typeof databases[0], typeof databases[0]],
      async close() {
        for (const db of databases) await db.close();
        rmSync(folder, { recursive: true });
      },
    };
  },
});

workerSuite('Postgres', {
  async open() {
    const { url, drop } = await createDatabase();
    const now = (): number => performance.now();
    const databases = [1, 2].map(() => openPostgres({ url, poolMax: 5, now, timeoutMs: 60_000 }));
    return {
      databases: databases as [typeof databases[0], typeof databases[0]],
      async close() {
        for (const db of databases) await db.close();
        await drop();
      },
    };
  },
}, withoutServer);

test('the pause after a failure is 1 s, 5 s, 30 s, then longer up to an hour, and up to a fifth more', () => {
  const expected = [1, 5, 30, 120, 600, 1_800, 3_600, 3_600, 3_600].map((seconds) => seconds * 1000);
  for (const [i, least] of expected.entries()) {
    for (let round = 0; round < 100; round++) {
      const pause = backoffMs(i + 1);
      assert.ok(pause >= least && pause <= least * 1.2, `${pause} after ${i + 1}`);
    }
  }
});
