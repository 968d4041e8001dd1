import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../src/core/errors.ts';
import { openPostgres } from '../../src/db/postgres.ts';
import type { Database } from '../../src/db/database.ts';
import { passed } from '../helpers/clock.ts';
import { now } from '../helpers/postgres.ts';
import { createCluster, freePort, ownFile, spawnAsOwner, withoutBinaries } from '../helpers/postgres_cluster.ts';
import type { Cluster } from '../helpers/postgres_cluster.ts';

const insert = { sql: 'INSERT INTO kept VALUES ($1) ON CONFLICT (id) DO NOTHING', params: ['x'], changes: 1 };

const unavailable = (error: unknown): boolean =>
  error instanceof Failure && error.code === 'unavailable' && (error.details.retryAfter ?? 0) >= 1;

/** Every verb, at once and again and again, says that the database is away. */
async function expectAway(db: Database): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    const calls = [db.ping(), db.one('SELECT 1', []), db.all('SELECT 1', []), db.write([insert]), db.ping()];
    await Promise.all(calls.map((call) => assert.rejects(async () => call, unavailable)));
  }
}

/** The database is used again within the 5 s in which it must be tried. */
async function expectBack(db: Database): Promise<void> {
  let isLate = false;
  void passed(5000).then(() => (isLate = true));
  for (;;) {
    try {
      await db.ping();
      break;
    } catch (error) {
      if (isLate) throw error;
      await sleep(50);
    }
  }
  assert.deepEqual(await db.one('SELECT count(*) FROM kept', []), [1]);
  assert.equal(await db.write([insert]), undefined);
}

describe('when its server', { skip: withoutBinaries }, () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await createCluster({ settings: ['max_connections=12', 'superuser_reserved_connections=1'] });
    const db = openPostgres({ url: cluster.url, poolMax: 1, now });
    await db.write([{ sql: 'CREATE TABLE kept (id text PRIMARY KEY)', params: [] }]);
    await db.write([insert]);
    await db.close();
  });
  after(() => cluster.close());

  async function inUse(t: TestContext, timeoutMs = 4000): Promise<Database> {
    const db = openPostgres({ url: cluster.url, poolMax: 3, now, timeoutMs });
    t.after(() => db.close());
    await Promise.all([db.ping(), db.ping(), db.ping()]);
    return db;
  }

  for (const [title, signal] of [['is killed', 'SIGKILL'], ['is shut down', 'SIGINT']] as const) {
    test(`${title}, the database is unavailable until it is started again`, async (t) => {
      const db = await inUse(t);
      await cluster.stop(signal);
      await expectAway(db);
      await cluster.start();
      await expectBack(db);
    });
  }

  test('is killed during a query, that is said at once', async (t) => {
    const db = await inUse(t, 60_000);
    const slow = { sql: 'SELECT count(*) FROM pg_sleep(60)', params: [] };
    const calls = [db.one(slow.sql, []), db.write([slow])];
    await sleep(100);
    await Promise.all([...calls.map((call) => assert.rejects(async () => call, unavailable)), cluster.stop('SIGKILL')]);
    await cluster.start();
    await expectBack(db);
  });

  test('hangs, everybody is told so, and it is used again when it goes on', async (t) => {
    const db = await inUse(t, 1500);
    await cluster.signal('SIGSTOP');
    try {
      await expectAway(db);
    } finally {
      await cluster.signal('SIGCONT');
    }
    await expectBack(db);
  });

  test('hangs, five seconds are enough to be told so', async (t) => {
    const db = await inUse(t);
    await cluster.signal('SIGSTOP');
    try {
      const calls = [db.ping(), db.write([insert]), db.ping(), db.ping(), db.ping()];
      const told = Promise.all(calls.map((call) => assert.rejects(async () => call, unavailable)));
      assert.equal(await Promise.race([told.then(() => 'told'), passed(5000)]), 'told');
    } finally {
      await cluster.signal('SIGCONT');
    }
    await expectBack(db);
  });

  test('takes no more connections, those that there are serve everybody', async (t) => {
    const open = () => openPostgres({ url: cluster.url, poolMax: 20, now, timeoutMs: 60_000 });
    const instances = [open(), open()];
    t.after(() => Promise.all(instances.map((db) => db.close())));
    await Promise.all(instances.map((db) => db.ping()));
    const crowd = (db: Database) => Array.from({ length: 40 }, () => db.one('SELECT 1 FROM pg_sleep(0.02)', []));
    assert.deepEqual(await Promise.all(instances.flatMap(crowd)), Array.from({ length: 80 }, () => [1]));
  });
});

const bouncer = '/usr/sbin/pgbouncer';

function withoutBouncer(): string | false {
  try {
    accessSync(bouncer);
    return withoutBinaries;
  } catch {
    return `there is no ${bouncer}`;
  }
}

test('everything works through pgbouncer in session mode', { skip: withoutBouncer() }, async (t) => {
  const cluster = await createCluster();
  t.after(() => cluster.close());
  const port = await freePort();
  const users = join(cluster.folder, 'users.txt');
  const configuration = join(cluster.folder, 'pgbouncer.ini');
  ownFile(users, '"postgres" "secret"\n');
  ownFile(
    configuration,
    `[databases]\npostgres = host=127.0.0.1 port=${cluster.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n` +
      `listen_port = ${port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = ${users}\n` +
      'pool_mode = session\nserver_login_retry = 0.2\n',
  );
  const child: ChildProcess = spawnAsOwner(bouncer, ['-q', configuration]);
  t.after(async () => {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });
  const url = `postgres://postgres:secret@127.0.0.1:${port}/postgres`;
  const db = openPostgres({ url, poolMax: 4, now, timeoutMs: 2500 });
  t.after(() => db.close());
  for (let tries = 0; tries < 500; tries += 1) {
    if (await db.ping().then(() => true, () => sleep(30, false))) break;
  }
  const sql = 'CREATE TABLE kept (id text PRIMARY KEY)';
  const migration = { version: 1, name: 'create_kept', sql, checksum: 'sum' };
  assert.deepEqual(await db.migrate([migration]), [migration]);
  assert.deepEqual(await db.write([insert]), [{ rows: [], changes: 1 }]);
  assert.equal(await db.write([insert]), undefined);
  const reads = await Promise.all(Array.from({ length: 50 }, () => db.one('SELECT id FROM kept WHERE id = $1', ['x'])));
  assert.deepEqual(reads, Array.from({ length: 50 }, () => ['x']));
  await cluster.stop('SIGINT');
  await expectAway(db);
  await cluster.start();
  await expectBack(db);
});
