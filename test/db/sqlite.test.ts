import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

import { openSqlite } from '../../src/db/sqlite.ts';
import { databaseSuite } from './database_suite.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-sqlite-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

databaseSuite('SQLite in a file', async () => openSqlite({ file: path.join(folder, `${++files}.db`) }));
databaseSuite('SQLite in memory', async () => openSqlite({ file: ':memory:' }));
