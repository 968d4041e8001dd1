import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { startServer } from '../helpers/server.ts';
import type { Answer, TestServer } from '../helpers/server.ts';

const ready = {
  database: 'ok', migrations: 'ok', limiter: 'ok', event_loop: 'ok', password_queue: 'ok', draining: 'no',
};

const ask = (server: TestServer, agent?: http.Agent): Promise<Answer> =>
  server.call('GET', '/readyz', agent === undefined ? {} : { agent });

/** Fails unless the answer is a 503 for this part, and for no other. */
function refused({ status, json, headers }: Answer, parts: Partial<Record<keyof typeof ready, string>>): void {
  assert.equal(status, 503);
  assert.equal(json.code, 'unavailable');
  assert.deepEqual(json.parts, { ...ready, ...parts });
  assert.equal(headers['retry-after'], '1');
}

/** Asks until the answer has this status. */
async function until(server: TestServer, status: number): Promise<Answer> {
  for (;;) {
    const answer = await ask(server);
    if (answer.status === status) return answer;
  }
}

/** Returns when the server has stopped listening: it lets in who waits before that. */
async function nobodyIsLetIn({ port }: TestServer): Promise<void> {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
    } catch {
      return;
    } finally {
      socket.destroy();
    }
  }
}

test('a server that is well names every part', async () => {
  const server = await startServer();
  try {
    const { status, json } = await ask(server);
    assert.deepEqual([status, json], [200, { status: 'ok', parts: ready }]);
  } finally {
    await server.close();
  }
});

test('without its database it is alive but not ready, until it is back', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'readiness-'));
  const file = path.join(folder, 'app.db');
  const server = await startServer({ DATABASE_URL: `sqlite:${file}` });
  try {
    renameSync(file, `${file}.away`);
    refused(await ask(server), { database: 'away' });
    assert.equal((await server.call('GET', '/healthz')).status, 200);
    renameSync(`${file}.away`, file);
    assert.equal((await ask(server)).status, 200);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
});

test('with a migration missing it is not ready, with one too many it is', async () => {
  const server = await startServer();
  try {
    const newest = '(SELECT max(version) FROM schema_migrations)';
    const renumber = `UPDATE schema_migrations SET version = version + 1000 WHERE version = ${newest}`;
    await server.db.write([{ sql: renumber, params: [], changes: 1 }]);
    assert.equal((await ask(server)).status, 200);
    await server.db.write([{ sql: 'DELETE FROM schema_migrations WHERE version > 1000', params: [], changes: 1 }]);
    refused(await ask(server), { migrations: 'pending' });
  } finally {
    await server.close();
  }
});

test('a second behind it is not ready, and caught up it is again', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const server = await startServer();
  try {
    server.clock.advance(1_400);
    assert.equal((await ask(server)).status, 200, 'the timer is not a second late');
    server.clock.advance(2_000);
    refused(await ask(server), { event_loop: 'slow' });
    t.mock.timers.tick(500);
    refused(await ask(server), { event_loop: 'slow' });
    t.mock.timers.tick(500);
    assert.equal((await ask(server)).status, 200);
  } finally {
    await server.close();
  }
});

test('with no room for another password it is not ready', async () => {
  const server = await startServer({ SCRYPT_LOG2_N: '15', SCRYPT_R: '8', SCRYPT_P: '4', SCRYPT_QUEUE: '1' });
  try {
    const body = { email: 'nobody@example.com', password: 'wrong horse' };
    const logins = [1, 2].map(() => server.call('POST', '/api/v1/auth/login', { body }));
    refused(await until(server, 503), { password_queue: 'full' });
    for (const { status } of await Promise.all(logins)) assert.equal(status, 401);
    assert.equal((await ask(server)).status, 200);
  } finally {
    await server.close();
  }
});

test('while it stops it says so on the connections that are open', async () => {
  const server = await startServer({ SHUTDOWN_TIMEOUT: '60s' });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await ask(server, agent)).status, 200);
  const closed = server.close();
  await nobodyIsLetIn(server);
  const answer = await ask(server, agent);
  refused(answer, { draining: 'yes' });
  assert.equal(answer.headers.connection, 'close');
  await closed;
  agent.destroy();
});
