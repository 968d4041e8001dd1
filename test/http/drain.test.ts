import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';

import { ROOT, startProgram } from '../helpers/program.ts';
import type { Program } from '../helpers/program.ts';
import { assertProblem, openRaw, rawPost, rawRequest } from '../helpers/raw.ts';
import type { RawConnection } from '../helpers/raw.ts';

const PING = rawRequest('GET /api/v1/public/ping');
const LOGIN = rawPost('/api/v1/auth/login', '{"email":"nobody@example.com","password":"wrong"}');
/** A request without its last byte: until that comes the server must stay. */
const UNFINISHED = LOGIN.slice(0, -1);

async function start(t: TestContext, env: Record<string, string> = {}): Promise<Program> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-drain-'));
  const program = await startProgram([path.join(ROOT, 'src/main.ts')], folder, {
    ...{ SCRYPT_LOG2_N: '10', SCRYPT_R: '8', SCRYPT_P: '1' },
    ...{ RATE_LIMIT_DEFAULT: '1000000/60s', RATE_LIMIT_LOGIN: '1000000/60s', RATE_LIMIT_LOGIN_FAILURES: '1000000/15m' },
    ...env,
  });
  t.after(() => {
    program.child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  return program;
}

/** Sends one request after another until an answer says that it is the last. */
async function sendWithoutPause(connection: RawConnection, request: string, onAnswer: () => void): Promise<void> {
  for (;;) {
    connection.write(request);
    const { status, headers } = await connection.answer();
    assert.ok(status === 200 || status === 401, `${status}`);
    if (headers['connection'] === 'close') return;
    onAnswer();
  }
}

suite('drain', { concurrency: 2 }, () => {
  test('clients that send without pause see no reset: each request is answered', async (t) => {
    const program = await start(t, { LOG_LEVEL: 'error' });
    const connections = Array.from({ length: 12 }, () => openRaw(program.port));
    const underWay = connections.map(() => Promise.withResolvers<void>());
    const sending = connections.map((connection, i) =>
      sendWithoutPause(connection, i % 4 === 0 ? LOGIN : PING, () => underWay[i]!.resolve()));
    await Promise.all(underWay.map(({ promise }) => promise));
    const stopped = program.stop();
    await Promise.all(sending);
    for (const connection of connections) {
      assert.equal(await connection.closed, 'end');
      assert.equal(connection.rest(), '');
      connection.close();
    }
    assert.deepEqual(await stopped, { code: 0, stderr: '' });
  });

  test('requests that were pipelined are all answered, and only the last answer closes', async (t) => {
    const program = await start(t);
    const exited = once(program.child, 'exit');
    const connection = openRaw(program.port);
    connection.write(PING + UNFINISHED);
    await connection.answer();
    await interrupt(program);
    connection.write(LOGIN.at(-1) + PING + LOGIN + PING);
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await connection.answer());
    assert.deepEqual(answers.map(({ status }) => status), [401, 200, 401, 200]);
    const said = answers.map(({ headers }) => headers['connection']);
    assert.deepEqual(said, ['keep-alive', 'keep-alive', 'keep-alive', 'close']);
    assert.equal(await connection.closed, 'end');
    connection.close();
    assert.deepEqual(await exited, [0, null]);
  });

  test('while what is in flight finishes, nobody new is let in, /readyz says 503 and the rest is served', async (t) => {
    const program = await start(t);
    const exited = once(program.child, 'exit');
    const inFlight = openRaw(program.port);
    inFlight.write(UNFINISHED);
    const [asking, pinging, living] = [openRaw(program.port), openRaw(program.port), openRaw(program.port)];
    for (const connection of [asking, pinging, living]) {
      connection.write(PING);
      assert.equal((await connection.answer()).status, 200);
    }
    await interrupt(program);
    asking.write(rawRequest('GET /readyz'));
    const ready = await asking.answer();
    assertProblem(ready, 503, 'unavailable');
    assert.deepEqual([ready.json.parts.database, ready.json.parts.draining], ['ok', 'yes']);
    assert.ok(ready.headers['retry-after']);
    pinging.write(PING);
    assert.equal((await pinging.answer()).status, 200);
    living.write(rawRequest('GET /healthz'));
    assert.equal((await living.answer()).headers['connection'], 'close');
    const late = openRaw(program.port);
    assert.equal(await late.closed, 'reset', 'refused');
    inFlight.write(LOGIN.at(-1)!);
    const last = await inFlight.answer();
    assertProblem(last, 401, 'invalid_credentials');
    assert.equal(last.headers['connection'], 'close');
    assert.equal(await inFlight.closed, 'end');
    for (const connection of [inFlight, asking, pinging, living]) connection.close();
    assert.deepEqual(await exited, [0, null]);
  });

  test('a client that never ends is cut off after SHUTDOWN_TIMEOUT', async (t) => {
    const program = await start(t, { SHUTDOWN_TIMEOUT: '300ms' });
    const hanging = openRaw(program.port);
    hanging.write(PING + UNFINISHED);
    await hanging.answer();
    const before = performance.now();
    assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
    assert.ok(performance.now() - before >= 290, 'it had its time');
    hanging.close();
  });

  test('a second signal ends it at once', async (t) => {
    for (const [first, second] of [['SIGTERM', 'SIGTERM'], ['SIGINT', 'SIGTERM']] as const) {
      const program = await start(t, { SHUTDOWN_TIMEOUT: '1h' });
      const hanging = openRaw(program.port);
      hanging.write(PING + UNFINISHED);
      await hanging.answer();
      await interrupt(program, first);
      program.child.kill(second);
      assert.deepEqual(await once(program.child, 'exit'), [1, null]);
      hanging.close();
    }
  });
});

/** SIGTERM or SIGINT; resolves when the server drains. */
async function interrupt({ child, line }: Program, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  child.kill(signal);
  await line(({ msg }) => msg === 'stopping');
}
