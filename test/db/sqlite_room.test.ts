import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import { ids, isAway, put, THINGS, withThings } from './things.ts';

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
    withThings(async (db) => {
      const limitTo = async (pages: number): Promise<void> => {
        await db.write([{ sql: `PRAGMA max_page_count = ${pages}`, params: [] }]);
      };
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
