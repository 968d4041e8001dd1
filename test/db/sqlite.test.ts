import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';

import { migrate } from '../../src/db/init_db.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import { connect } from '../../src/db/sqlite_connection.ts';
import { databaseSuite } from './database_suite.ts';
import { otherProcess } from './other_process.ts';
import { ids, isAway, put, THINGS, withThings } from './things.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-sqlite-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newFile = (): string => path.join(folder, `${++files}`, 'app.db');

databaseSuite('SQLite in a file', async () => openSqlite({ file: newFile() }));
databaseSuite('SQLite in memory', async () => openSqlite({ file: ':memory:' }));

describe('a SQLite file', () => {
  test('is written in WAL mode, with a flush for every commit, strict tables and foreign keys', () =>
    withThings(async (db) => {
      const set = async (name: string) => (await db.write([{ sql: `PRAGMA ${name}`, params: [] }]))![0]!.rows[0]![0];
      assert.equal(await set('journal_mode'), 'wal');
      assert.equal(await set('synchronous'), 2);
      assert.equal(await set('foreign_keys'), 1);
      const tables = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'";
      const loose = `${tables} AND strict = 0`;
      assert.deepEqual(await db.all(loose, []), []);
    }));

  test('and all that SQLite puts beside it can be read by nobody else, whatever the umask', async () => {
    const before = process.umask(0);
    try {
      await withThings(async (_, file) => {
        const beside = readdirSync(path.dirname(file));
        assert.deepEqual(beside.sort(), ['app.db', 'app.db-shm', 'app.db-wal']);
        const modeOf = (name: string) => statSync(path.join(path.dirname(file), name)).mode & 0o777;
        for (const name of beside) assert.equal(modeOf(name), 0o600, name);
        assert.equal(modeOf('.'), 0o700);
      });
    } finally {
      process.umask(before);
    }
  });

  test('is alone: no other file can be attached to it, by a read or by a write', () =>
    withThings(async (db, file) => {
      const other = path.join(path.dirname(file), 'other.db');
      const sql = `ATTACH '${other}' AS other`;
      await assert.rejects(db.write([{ sql, params: [] }]), /not authorized/);
      assert.throws(() => db.one(sql, []), /not authorized/);
      assert.ok(!existsSync(other));
    }));

  test('is not changed by a read', () =>
    withThings(async (db) => {
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
    withThings(async (db, file) => {
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
      withThings(async (db, file) => {
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
      }, 2_000));
  }

  test('a write waits for a lock that is soon given back', () =>
    withThings(async (db, file) => {
      const other = await otherProcess(file, 'BEGIN IMMEDIATE');
      const write = put(db, 1);
      await other.release();
      assert.deepEqual(await write, [{ rows: [], changes: 1 }]);
    }, 10_000));
});

test('a writer thread that dies refuses what it had and is replaced by the next write', async () => {
  await withThings(async (db, file) => {
    const child = await otherProcess(file, 'exhaust', ['--max-old-space-size=24']);
    assert.deepEqual(JSON.parse(await child.release()), ['unavailable', 'unavailable', 'unavailable', 'fulfilled']);
    assert.deepEqual(await ids(db), [3]);
  });
});

test('what another has written is seen by whatever arrives after that, in a crowded turn of the event loop too', () =>
  withThings(async (db, file) => {
    const other = connect(file);
    const sockets = await Promise.all(Array.from({ length: 1100 }, async () => {
      const socket = createSocket('udp4').bind(0, '127.0.0.1');
      await once(socket, 'listening');
      return socket;
    }));
    const [sender, late, ...early] = sockets;
    const send = (socket: Socket) => sender!.send('read', socket.address().port, '127.0.0.1');
    const seen = once(late!, 'message').then(() => ids(db));
    let arrived = 0;
    for (const socket of early) {
      socket.on('message', () => {
        void ids(db);
        if (++arrived !== 10) return;
        other.commit([[{ sql: 'INSERT INTO things (id) VALUES (1)', params: [] }]]);
        send(late!);
      });
      send(socket);
    }
    const rows = await seen;
    for (const socket of sockets) socket.close();
    other.close();
    assert.deepEqual(rows, [1]);
  }));

test('closing waits for what is being written', async () => {
  const db = openSqlite({ file: newFile() });
  await migrate(db);
  await db.write([{ sql: THINGS, params: [] }]);
  const writing = Promise.all(Array.from({ length: 20 }, (_, i) => put(db, i)));
  await db.close();
  assert.equal((await writing).length, 20);
});

test('writes that arrive together share a commit, and yet each is its own', () =>
  withThings(async (db, file) => {
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
