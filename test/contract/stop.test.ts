import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { createHttpServer } from '../../src/http/server.ts';
import { ROOT, startProgram } from '../helpers/program.ts';

/** Asks again and again over kept connections until one is refused; how it ended. */
async function askUntilRefused(port: number, agent: http.Agent): Promise<string> {
  for (;;) {
    try {
      const request = http.get({ host: '127.0.0.1', port, path: '/api/v1/public/ping', agent });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      if (response.statusCode !== 200) return `status ${response.statusCode}`;
      await once(response.resume(), 'end');
    } catch (error) {
      return (error as NodeJS.ErrnoException).code!;
    }
  }
}

for (const WORKERS of ['1', '2']) {
  test(`with WORKERS=${WORKERS} a stop resets no client: what is open is served, what is new is refused`, async (t) => {
    const home = mkdtempSync(path.join(os.tmpdir(), 'bare-api-stop-'));
    t.after(() => rmSync(home, { recursive: true, force: true }));
    const limits = { RATE_LIMIT_DEFAULT: '10000000/60s', LOG_LEVEL: 'warn' };
    const program = await startProgram([path.join(ROOT, 'src/main.ts')], home, { WORKERS, ...limits });
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const clients = Array.from({ length: 8 }, () => askUntilRefused(program.port, agent));
    await Promise.race([...clients, new Promise((resolve) => setTimeout(resolve, 300))]);
    const stopped = program.stop();
    assert.deepEqual([...new Set(await Promise.all(clients))], ['ECONNREFUSED']);
    assert.deepEqual(await stopped, { code: 0, stderr: '' });
  });
}

test('a server that has stopped listening serves on as before, and only drains when it is told to', async (t) => {
  const server = createHttpServer({
    handle: (exchange) => exchange.send(200, 'text/plain', 'ok'),
    onRejected() {},
    onAnswered() {},
    clientIp: () => '',
    nextRequestId: () => 'id',
    now: () => 0,
    wallTime: () => 0,
    bodyLimit: 0,
  });
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const connection = async (): Promise<string | undefined> => {
    const [response] = (await once(http.get({ host: '127.0.0.1', port, agent }), 'response')) as [http.IncomingMessage];
    await once(response.resume(), 'end');
    return response.headers.connection;
  };
  assert.equal(await connection(), 'keep-alive');
  server.stopListening();
  assert.equal(server.draining, false);
  assert.equal(await connection(), 'keep-alive');
  await assert.rejects(once(http.get({ host: '127.0.0.1', port, agent: false }), 'response'), { code: 'ECONNREFUSED' });
  const drained = server.drain(5_000);
  assert.equal(await connection(), 'close');
  await drained;
});
