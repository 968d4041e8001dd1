import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startFault } from '../../src/core/start_fault.ts';

test('a full disk is told of with the file of SQLite; another database has none to name', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  const where = { host: '127.0.0.1', port: 8000 };
  assert.match(startFault(full, where, 'data/app.db'), /^DATABASE_URL: data\/app\.db can't be used: the disk is full; /);
  assert.equal(startFault(full, where, undefined), 'The server could not start: ENOSPC: no space left on device, write');
});
