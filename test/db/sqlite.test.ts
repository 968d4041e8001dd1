import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';

import { Failure } from '../../src/core/errors.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import { databaseSuite } from './database_suite.ts';
import { otherProcess } from './other_process.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-sqlite-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newFile = (): string => path.join(folder, `${++files}`, 'app.db');

databaseSuite('SQLite in a file', async () => openSqlite({ file: newFile() }));
databaseSuite('SQLite in memory', async () => openSqlite({ file: ':memory:' }));

const THINGS = 'CREATE TABLE things (id INTEGER PRIMARY KEY, word TEXT) STRICT';

const isAway = (error: unknown): boolean =>
  error instanceof Failure && error.code === 'unavailable' && error.details.retryAfter === 1;

async function within(story: (db: Database, file: string) => Promise<void>, lockTimeoutMs = 200): Promise<void> {
  const file = newFile();
  const db = openSqlite({ file, lockTimeoutMs });
  try {
    await migrate(db);
    await db.write([{ sql: THINGS, params: [] }]);
    await story(db, file);
  } finally {
    await db.close();
  }
}

const put = (db: Database, id: number, word = '') =>
  db.write([{ sql: 'INSERT INTO things (id, word) VALUES ($1, $2)', params: [id, word], changes: 1 }]);
const ids = async (db: Database) => (await db.all('SELECT id FROM things ORDER BY id', [])).map(([id]) => id);

describe('a SQLite file', () => {
  test('is written in WAL mode, with a flush for every commit, strict tables and foreign keys', () =>
    within(async (db) => {
      const set = async (name: string) => (await db.write([{ sql: `PRAGMA ${name}`, params: [] }]))![0]!.rows[0]![0];
      assert.equal(await set('journal_mode'), 'wal');
      assert.equal(await set('synchronous'), 2);
      assert.equal(await set('foreign_keys'), 1);
      const loose = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite%'";
      assert.deepEqual(await db.all(loose, []), []);
    }));

  test('and all that SQLite puts beside it can be read by nobody else, whatever the umask', async () => {
    const before = process.umask(0);
    try {
      await within(async (_, file) => {
        const beside = readdirSync(path.dirname(file));
        assert.deepEqual(beside.sort(), ['app.db', 'app.db-shm', 'app.db-wal']);
        for (const name of beside) assert.equal(statSync(path.join(path.dirname(file), name)).mode & 0o777, 0o600, name);
        assert.equal(statSync(path.dirname(file)).mode & 0o777, 0o700);
      });
    } finally {
      process.umask(before);
    }
  });

  test('is alone: no other file can be attached to it, by a read or by a write', () =>
    within(async (db, file) => {
      const other = path.join(path.dirname(file), 'other.db');
      const sql = `ATTACH '${other}' AS other`;
      await assert.rejects(db.write([{ sql, params: [] }]), /not authorized/);
      assert.throws(() => db.one(sql, []), /not authorized/);
      assert.ok(!existsSync(other));
    }));

  test('is not changed by a read', () =>
    within(async (db) => {
      assert.throws(() => db.one('INSERT INTO things (id) VALUES (1) RETURNING id', []), isAway);
      assert.deepEqual(await ids(db), []);
    }));

  test('that is none, or that cannot be opened, is reported and not replaced', async () => {
    const file = newFile();
    const db = openSqlite({ file: path.dirname(file) });
    await assert.rejects(migrate(openSqlite({ file: folder })), /EISDIR/);
    await db.close();
    const text = path.join(folder, 'text.db');
    writeFileSync(text, 'This is a letter and no database. '.repeat(100));
    const letter = openSqlite({ file: text });
    await assert.rejects(migrate(letter), /not a database/);
    assert.throws(() => letter.one('SELECT 1 FROM users', []), /not a database/);
    await letter.close();
  });

  test('that has been taken away does not answer a ping', () =>
    within(async (db, file) => {
      await db.ping();
      rmSync(file);
      await assert.rejects(db.ping());
    }));

  test('is migrated once when many processes start at the same time', async () => {
    const file = newFile();
    const processes = await Promise.all(Array.from({ length: 4 }, () => otherProcess(file, 'migrate')));
    const said = await Promise.all(processes.map(({ release }) => release()));
    const applied: number[][] = said.map((text) => JSON.parse(text.split('\n')[1]!));
    for (const i of applied[0]!.keys()) {
      const db = openSqlite({ file: `${file}.${i}` });
      const [known] = (await db.one('SELECT count(*) FROM schema_migrations', []))!;
      assert.equal(applied.reduce((sum, each) => sum + each[i]!, 0), known);
      assert.deepEqual(await migrate(db), []);
      await db.close();
    }
  });
});

describe('while another process holds the write lock', () => {
  for (const lock of ['BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE']) {
    test(`with ${lock}, writes are refused for the moment, reads go on, and nobody waits in turn`, () =>
      within(async (db, file) => {
        await put(db, 1);
        const other = await otherProcess(file, lock);
        let refused = 0;
        const writes = Array.from({ length: 600 }, (_, i) =>
          assert.rejects(put(db, i + 2), isAway).finally(() => refused++),
        );
        let turns = 0;
        while (refused === 0) {
          assert.deepEqual(await ids(db), [1]);
          await new Promise((resolve) => setImmediate(resolve));
          turns++;
        }
        assert.ok(turns > 2, 'the event loop went round while the writer waited');
        await new Promise((resolve) => setImmediate(resolve));
        assert.equal(refused, 600, 'all were refused in the same turn');
        await Promise.all(writes);
        await other.release();
        await put(db, 2);
        assert.deepEqual(await ids(db), [1, 2]);
      }));
  }

  test('a write waits for a lock that is soon given back', () =>
    within(async (db, file) => {
      const other = await otherProcess(file, 'BEGIN IMMEDIATE');
      const write = put(db, 1);
      await other.release();
      assert.deepEqual(await write, [{ rows: [], changes: 1 }]);
    }, 10_000));
});

describe('when there is no room', () => {
  /** Fills the disk with writes until one is refused, makes room, and writes on. */
  async function fillAndFree(db: Database, makeRoom: () => Promise<void>): Promise<void> {
    let written = 0;
    const fill = async (): Promise<void> => {
      for (; written < 10_000; written++) await put(db, written, 'x'.repeat(20_000));
    };
    await assert.rejects(fill(), isAway);
    const kept = await ids(db);
    assert.ok(written > 0);
    assert.equal(kept.length, written, 'what was acknowledged is there and the refused write is not');
    const refused = [put(db, 20_001, 'x'.repeat(60_000)), put(db, 20_002, 'x'.repeat(60_000))];
    for (const write of refused) await assert.rejects(write, isAway);
    assert.deepEqual(await ids(db), kept, 'reads go on');
    await db.ping();
    await makeRoom();
    await put(db, 30_000, 'x'.repeat(20_000));
    assert.deepEqual(await ids(db), [...kept, 30_000]);
    assert.deepEqual(await db.one('PRAGMA integrity_check', []), ['ok']);
  }

  test('because the database may not grow, writes are refused until it may', () =>
    within(async (db) => {
      const limitTo = async (pages: number) => void (await db.write([{ sql: `PRAGMA max_page_count = ${pages}`, params: [] }]));
      await limitTo(100);
      await fillAndFree(db, () => limitTo(1_000_000));
    }));

  /** A disk of one megabyte, most of it taken by a file that can be removed. */
  function mountSmallDisk() {
    const disk = mkdtempSync(path.join(os.tmpdir(), 'bare-api-disk-'));
    const unmount = (): void => {
      spawnSync('umount', ['-l', disk]);
      rmSync(disk, { recursive: true, force: true });
    };
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status === 0;
    if (!mounted) return void unmount();
    const ballast = path.join(disk, 'ballast');
    return { file: path.join(disk, 'app.db'), ballast, unmount };
  }
  const noRoot = 'a small disk can be mounted by root only';

  test('because the disk is full, writes are refused until it is not', async (context) => {
    const disk = mountSmallDisk();
    if (disk === undefined) return context.skip(noRoot);
    try {
      writeFileSync(disk.ballast, Buffer.alloc(400_000));
      const db = openSqlite({ file: disk.file });
      await migrate(db);
      await db.write([{ sql: THINGS, params: [] }]);
      await fillAndFree(db, async () => rmSync(disk.ballast));
      await db.close();
    } finally {
      disk.unmount();
    }
  });

  test('for a migration, it says so, and applies all of it another time', async (context) => {
    const disk = mountSmallDisk();
    if (disk === undefined) return context.skip(noRoot);
    try {
      for (const room of [0, 20_000, 40_000, 60_000]) {
        assert.throws(() => writeFileSync(disk.ballast, Buffer.alloc(2_000_000)), /ENOSPC/);
        truncateSync(disk.ballast, statSync(disk.ballast).size - room);
        const db = openSqlite({ file: disk.file });
        await assert.rejects(migrate(db), /full|disk I\/O error/);
        rmSync(disk.ballast);
        assert.ok((await migrate(db)).length > 0);
        await db.close();
        for (const end of ['', '-wal', '-shm']) rmSync(`${disk.file}${end}`, { force: true });
      }
    } finally {
      disk.unmount();
    }
  });
});

test('a writer thread that dies refuses what it had and is replaced by the next write', async () => {
  await within(async (db, file) => {
    const child = await otherProcess(file, 'exhaust', ['--max-old-space-size=24']);
    assert.deepEqual(JSON.parse(await child.release()), ['unavailable', 'unavailable', 'unavailable', 'fulfilled']);
    assert.deepEqual(await ids(db), [3]);
  });
});

test('writes that arrive together share a commit, and yet each is its own', () =>
  within(async (db, file) => {
    const wal = () => statSync(`${file}-wal`).size;
    await put(db, 0);
    const before = wal();
    for (let i = 1; i <= 20; i++) await put(db, i);
    const alone = wal() - before;
    const between = wal();
    await Promise.all(Array.from({ length: 200 }, (_, i) => put(db, 100 + i)));
    const together = wal() - between;
    assert.ok(together < alone, `200 together took ${together} bytes of the log, 20 in turn ${alone}`);
    assert.equal((await ids(db)).length, 221);
  }));
