import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { uuidv7 } from '../../src/core/uuid.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import * as sessions from '../../src/db/sessions.ts';
import * as users from '../../src/db/users.ts';
import { purgeExpired } from '../../src/jobs/purge_expired.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createClock } from '../helpers/clock.ts';
import { startServer } from '../helpers/server.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'housekeeping-'));
after(() => rmSync(folder, { recursive: true }));

const DAY = 86_400_000;
const size = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

const LIMIT = { timeout: 600_000 };

/** Resolves when `holds`; the test's own time limit ends a wait in vain. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

async function open(name: string): Promise<{ db: Database; file: string }> {
  const file = path.join(folder, name);
  const db = openSqlite({ file });
  await migrate(db);
  return { db, file };
}

const account = { email: 'ada@example.com', fullName: undefined, role: 'user', passwordHash: 'hash' } as const;

async function makeUsers(db: Database, count: number, now: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => uuidv7(now));
  await Promise.all(ids.map((id, i) => users.insert(db, { ...account, id, email: `${i}@example.com` }, now)));
  return ids;
}

/** Logins of thirty days each, as many as there are `userIds`, at once. */
async function logIn(db: Database, userIds: readonly string[], now: number): Promise<void> {
  const started = userIds.map((userId) => sessions.start(db, {
    id: uuidv7(now), userId, createdAt: now, lastUsedAt: now, expiresAt: now + 30 * DAY, ip: '192.0.2.1',
    userAgent: 'a browser of some usual length'.repeat(4), refreshJti: uuidv7(now), previousJti: undefined,
    rotatedAt: now,
  }, account.passwordHash, undefined));
  for (const done of await Promise.all(started)) assert.equal(done, true);
}

const log = createLog({ level: 'error', format: 'json', color: false, now: () => 0, sink: { write: () => true, flushSync() {} } });

/** What the recurring job does, and how many sessions each of its batches had. */
const toPurge = (db: Database, now: () => number) => {
  const purged: number[] = [];
  const call = {
    db, now, log, payload: {}, jobId: uuidv7(0), createdAt: 0, mail: undefined, publicUrl: 'http://localhost',
    signal: new AbortController().signal,
    onPurged: (what: string, rows: number) => void (what === 'sessions' && purged.push(rows)),
  };
  return { purge: () => purgeExpired.handler(call), purged };
};

test('a year of logins leaves a database no larger than its live sessions need', async () => {
  const clock = createClock();
  const { db, file } = await open('year.db');
  const { purge, purged } = toPurge(db, clock.now);
  const each = await makeUsers(db, 400, clock.now());
  const perDay = 40;
  const onDay = (day: number): string[] =>
    Array.from({ length: perDay }, (_, i) => each[(day * perDay + i) % each.length]!);
  for (let day = 0; day < 365; day++) {
    await logIn(db, onDay(day), clock.now());
    clock.advance(DAY);
    await purge();
  }
  await db.close();

  const { db: fresh, file: freshFile } = await open('month.db');
  await makeUsers(fresh, 400, clock.now());
  await fresh.close();
  const copy = new DatabaseSync(freshFile);
  copy.exec(`PRAGMA foreign_keys = OFF; ATTACH '${file}' AS year; DELETE FROM users;
    INSERT INTO users SELECT * FROM year.users; INSERT INTO sessions SELECT * FROM year.sessions`);
  const live = copy.prepare('SELECT count(*) AS n FROM sessions').get()!['n'];
  copy.close();
  assert.equal(live, 29 * perDay, 'those of a month less the last moment');
  assert.equal(purged.reduce((sum, n) => sum + n, 0), (365 - 29) * perDay);
  assert.ok(size(file) < 1.5 * size(freshFile), `${size(file)} bytes, of which ${size(freshFile)} are needed`);
});

test('what a flood of logins has taken is given back when they have expired', LIMIT, async () => {
  const clock = createClock();
  const { db, file } = await open('flood.db');
  const { purge, purged } = toPurge(db, clock.now);
  const before = size(file);
  const each = await makeUsers(db, 200, clock.now());
  for (let i = 0; i < 30; i++) {
    clock.advance(1_000);
    await logIn(db, each, clock.now());
  }
  await until(() => size(`${file}-wal`) === 0 && size(file) > 10 * before);
  clock.advance(31 * DAY);
  await purge();
  assert.ok(purged.every((n) => n <= 500) && purged.length > 10, 'in small batches');
  await until(() => size(`${file}-wal`) === 0 && size(file) < 4 * before);
  await db.close();
});

test('a checkpoint waits for nobody who reads, and is made up for later', LIMIT, async () => {
  const { db, file } = await open('reader.db');
  const reader = new DatabaseSync(file, { readOnly: true });
  await makeUsers(db, 1, 0);
  reader.exec('BEGIN; SELECT count(*) FROM users');
  await makeUsers(db, 2, 0);
  await sleep(3_000);
  assert.ok(size(`${file}-wal`) > 0);
  reader.exec('COMMIT');
  await until(() => size(`${file}-wal`) === 0);
  reader.close();
  await db.close();
});

test('the server purges, and the metrics show it', LIMIT, async () => {
  const server = await startServer({ DATABASE_URL: `sqlite:${path.join(folder, 'server.db')}` });
  try {
    await server.login();
    await server.loginAdmin();
    server.clock.advance(31 * DAY);
    // Wakes the worker, which looks at what recurs.
    await server.call('POST', '/api/v1/auth/password/forgot', { body: { email: 'nobody@example.com' } });
    const done = /^jobs_total\{kind="purge\.expired",outcome="done"\} (\d+)$/m;
    // The job counts what it purges as it goes, and itself when its end is written.
    let text = '';
    while (!done.test(text)) {
      await sleep(20);
      ({ text } = await server.call('GET', '/metrics'));
    }
    assert.equal(done.exec(text)![1], '1');
    assert.match(text, /^purged_rows_total\{what="sessions"\} 2$/m);
    assert.match(text, /^sqlite_database_bytes [1-9]\d+$/m);
    assert.match(text, /^sqlite_wal_bytes \d+$/m);
  } finally {
    await server.close();
  }
});
