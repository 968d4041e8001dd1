import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort, openInspector } from './helpers/inspector.ts';
import { eventually } from './helpers/mailbox.ts';
import { BARE_ENV, ROOT, startProgram } from './helpers/program.ts';
import type { Program } from './helpers/program.ts';
import { openRaw, rawPost, rawRequest } from './helpers/raw.ts';
import { send } from './helpers/server.ts';

const MAIN = path.join(ROOT, 'src/main.ts');
const PING = '/api/v1/public/ping';
const ACCOUNT = { email: 'ada@example.com', password: 'correct horse' };
const SETTINGS = {
  ...{ WORKERS: '3', SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1', RATE_LIMIT_DEFAULT: '1000000/60s' },
  ...{ RATE_LIMIT_LOGIN: '1000000/60s', RATE_LIMIT_LOGIN_FAILURES: '1000000/15m' },
};

function emptyFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-workers-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function start(t: TestContext, env: Record<string, string> = {}, nodeOptions: string[] = []): Promise<Program> {
  const program = await startProgram([...nodeOptions, MAIN], emptyFolder(t), { ...SETTINGS, ...env });
  t.after(() => program.child.kill('SIGKILL'));
  return program;
}

/** The threads that have answered, by what their request ids begin with. */
const threadsOf = (program: Program): Set<string> => new Set(program.log()
  .filter(({ msg }) => msg === 'request').map(({ request_id: id }) => id.split(/-(?=[^-]*$)/)[0]));

const times = <T>(count: number, what: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => what(i));

/** What Node does where the system has no SO_REUSEPORT for this. */
const WITHOUT_REUSE_PORT = `
  import net from 'node:net';
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (options, ...rest) {
    if (!options.reusePort) return listen.call(this, options, ...rest);
    const error = Object.assign(new Error('listen ENOTSUP: operation not supported on socket'), { code: 'ENOTSUP' });
    process.nextTick(() => this.emit('error', error));
    return this;
  };`;

test('where threads can not share a port the start is refused with what to do', (t) => {
  const argv = ['--import', `data:text/javascript,${encodeURIComponent(WITHOUT_REUSE_PORT)}`, MAIN];
  const env = { ...BARE_ENV, ...SETTINGS, PORT: '0', LOG_FORMAT: 'json' };
  const { status, stderr } = spawnSync(process.execPath, argv, { cwd: emptyFolder(t), env, encoding: 'utf8' });
  assert.match(stderr, /^.*WORKERS: threads can not share a port on this system; accepted here: 1\n$/);
  assert.equal(status, 1);
});

suite('threads', { concurrency: 2, timeout: 600_000 }, () => {
  test('a limit holds exactly for all threads together', async (t) => {
    const program = await start(t, { RATE_LIMIT_DEFAULT: '70/100d' });
    const answers = await Promise.all(times(200, () => send(program.port, 'GET', PING)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 70);
    assert.equal(answers.filter(({ status }) => status === 429).length, 130);
    const left = answers.filter(({ status }) => status === 200)
      .map(({ headers }) => Number(/r=(\d+)/.exec(String(headers['ratelimit']))?.[1])).sort((a, b) => b - a);
    // A thread that was held up after it read the clock tells of a token less, none of one more.
    assert.ok(left.every((r, i) => r < 70 - i), `each answer that passed took a token of its own: ${left}`);
    await program.stop();
    assert.ok(threadsOf(program).size > 1, 'more than one thread answered');
  });

  test('what one thread has written the others read: accounts, sessions, and one successor of a refresh token', async (t) => {
    const { port } = await start(t, { REFRESH_TOKEN_REUSE_INTERVAL: '1h' });
    assert.equal((await send(port, 'POST', '/api/v1/auth/register', { body: ACCOUNT })).status, 201);
    const { json: { access_token: token, refresh_token } } = await send(port, 'POST', '/api/v1/auth/login', { body: ACCOUNT });
    const me = await Promise.all(times(30, () => send(port, 'GET', '/api/v1/users/me', { token })));
    assert.deepEqual([...new Set(me.map(({ status }) => status))], [200]);
    const refreshed = await Promise.all(times(50, () =>
      send(port, 'POST', '/api/v1/auth/refresh', { body: { refresh_token } })));
    assert.deepEqual([...new Set(refreshed.map(({ status }) => status))], [200]);
    assert.equal(new Set(refreshed.map(({ json }) => json.refresh_token)).size, 1);
    const successor = refreshed[0]!.json.refresh_token;
    assert.equal((await send(port, 'POST', '/api/v1/auth/logout', { body: { refresh_token: successor } })).status, 204);
    const over = await Promise.all(times(30, () => send(port, 'GET', '/api/v1/users/me', { token })));
    assert.deepEqual([...new Set(over.map(({ status }) => status))], [401]);
  });

  test('hashes at once and waiting are bounded for the process', async (t) => {
    const heavy = { SCRYPT_LOG2_N: '15', SCRYPT_R: '8', SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '3' };
    const { port } = await start(t, heavy);
    const answers = await Promise.all(times(30, (i) =>
      send(port, 'POST', '/api/v1/auth/login', { body: { ...ACCOUNT, email: `${i}@example.com` } })));
    const of = (status: number) => answers.filter((answer) => answer.status === status);
    assert.equal(of(401).length + of(503).length, 30);
    assert.ok(of(503).length >= 15, `${of(503).length} were refused`);
    assert.ok(of(401).length >= 4, `${of(401).length} were hashed`);
    for (const { json, headers } of of(503)) assert.deepEqual([json.code, headers['retry-after']], ['overloaded', '1']);
  });

  test('lines of several threads are never mixed, none is lost, and the metrics are their sum', async (t) => {
    const program = await start(t);
    const total = 40 * 50;
    await Promise.all(times(40, async () => {
      const connection = openRaw(program.port);
      for (let i = 0; i < 50; i++) {
        connection.write(rawRequest(`GET ${PING}`));
        assert.equal((await connection.answer()).status, 200);
      }
      connection.close();
    }));
    // A thread that does not answer within a second is summed up as it was before.
    const sum = new RegExp(`^http_requests_total\\{method="GET",route="${PING}",status="200"\\} ${total}$`, 'm');
    const text = await eventually('the sum of all threads', async () => {
      const { text } = await send(program.port, 'GET', '/metrics');
      return sum.test(text) ? text : undefined;
    });
    assert.equal(text.match(/^process_resident_memory_bytes /gm)?.length, 1);
    assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
    const lines = program.log(); // Each has been parsed.
    const pings = lines.filter(({ route }) => route === PING);
    assert.equal(pings.length, total);
    assert.equal(new Set(pings.map(({ request_id: id }) => id)).size, total);
    assert.equal(lines.at(-1)!['msg'], 'stopped');
  });

  test('a thread that dies or is stuck is replaced while the others serve, and the limits outlive it', async (t) => {
    const port = await freePort();
    const options = [`--inspect=127.0.0.1:${port}`, '--max-old-space-size=200'];
    const program = await start(t, { RATE_LIMIT_DEFAULT: '100000/100d' }, options);
    const inspector = await openInspector(port);
    t.after(() => inspector.close());
    let passed = 0;
    for (const [thread, reason, expression] of [
      ['serve-1', 'error', 'setTimeout(() => { throw new Error("on purpose"); })'],
      ['serve-2', 'out of memory', 'setTimeout(() => { for (const all = []; ; ) all.push(new Array(1e5).fill(0)); })'],
      ['serve-3', 'stuck', 'setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))'],
    ] as const) {
      await inspector.evaluate(thread, expression);
      const died = program.line((line) => line['reason'] === reason);
      let isDead = false;
      void died.then(() => (isDead = true));
      const before = passed;
      while (!isDead) {
        // Who comes to the thread that is dying waits for an answer that may never come; everybody else gets theirs.
        const alone = openRaw(program.port);
        alone.write(rawRequest(`GET ${PING}`));
        const status = await Promise.race([alone.answer().then(({ status }) => status, () => undefined), died]);
        if (status === 200) passed++;
        alone.close();
        await sleep(10);
      }
      const line = await died;
      assert.equal(line['thread'], thread);
      assert.equal(line['level'], 'error');
      assert.ok(passed > before || reason === 'error', `nobody was served while a thread was ${reason}`);
      const known = threadsOf(program);
      while (threadsOf(program).isSubsetOf(known)) {
        if ((await send(program.port, 'GET', PING).catch(() => undefined))?.status === 200) passed++;
      }
      const { text } = await send(program.port, 'GET', '/metrics');
      assert.match(text, new RegExp(`^serving_threads_replaced_total\\{reason="${reason}"\\} 1$`, 'm'));
    }
    assert.ok(program.log().some(({ level, error }) => level === 'error' && JSON.stringify(error ?? '').includes('on purpose')));
    const { headers } = await send(program.port, 'GET', PING);
    const taken = 100_000 - Number(/r=(\d+)/.exec(String(headers['ratelimit']))?.[1]);
    assert.ok(taken > passed, `${taken} tokens were taken by ${passed} requests that passed`);
    assert.equal((await send(program.port, 'POST', '/api/v1/auth/register', { body: ACCOUNT })).status, 201);
    inspector.close();
    assert.equal((await program.stop()).code, 0);
  });

  test('a stop under load answers everybody who is connected, resets nobody, and ends well', async (t) => {
    const program = await start(t);
    const connections = times(30, () => openRaw(program.port));
    let answered = 0;
    const ended = Promise.all(connections.map(async (connection) => {
      for (;;) {
        connection.write(rawRequest(`GET ${PING}`));
        const { status, headers } = await connection.answer();
        assert.equal(status, 200);
        answered++;
        if (headers['connection'] === 'close') return connection.closed;
      }
    }));
    while (answered < 3000) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
    assert.deepEqual(await ended, times(30, () => 'end'));
  });

  test('a second signal ends it at once', async (t) => {
    const program = await start(t, { SHUTDOWN_TIMEOUT: '1h' });
    const held = openRaw(program.port);
    held.write(rawPost('/api/v1/auth/login', '{"email":"a@example.com","password":"x"}').slice(0, -1));
    await send(program.port, 'GET', PING);
    const exit = once(program.child, 'exit');
    program.child.kill('SIGTERM');
    await program.line(({ msg }) => msg === 'stopping');
    program.child.kill('SIGTERM');
    assert.deepEqual(await exit, [1, null]);
    held.close();
  });

  test('when its terminal closes it finishes what is in flight, however often that is said', async (t) => {
    const program = await start(t);
    const held = openRaw(program.port);
    const post = rawPost('/api/v1/auth/login', '{"email":"a@example.com","password":"x"}');
    held.write(post.slice(0, -1));
    await send(program.port, 'GET', PING);
    const exit = once(program.child, 'exit');
    program.child.kill('SIGHUP');
    await program.line(({ msg }) => msg === 'stopping');
    program.child.kill('SIGHUP');
    held.write(post.slice(-1));
    assert.equal((await held.answer()).status, 401);
    assert.deepEqual(await exit, [0, null]);
  });

  test('what was acknowledged is there after a kill, whichever thread had written it', async (t) => {
    const folder = emptyFolder(t);
    const program = await startProgram([MAIN], folder, SETTINGS);
    const acknowledged: string[] = [];
    const clients = times(12, async (client) => {
      for (let i = 0; ; i++) {
        const email = `${client}-${i}@example.com`;
        const { status } = await send(program.port, 'POST', '/api/v1/auth/register', { body: { ...ACCOUNT, email } });
        assert.equal(status, 201);
        acknowledged.push(email);
        if (acknowledged.length === 150) program.child.kill('SIGKILL');
      }
    });
    await Promise.all(clients.map((client) => assert.rejects(client, { code: /ECONN|EPIPE/ })));
    const database = new DatabaseSync(path.join(folder, 'data/app.db'));
    const emails = new Set(database.prepare('SELECT email FROM users').all().map(({ email }) => email));
    assert.deepEqual(acknowledged.filter((email) => !emails.has(email)), []);
    database.close();
  });

  test('WORKERS=0 serves from each core, and a port that somebody serves is refused however they share it', async (t) => {
    const program = await start(t, { WORKERS: '0' });
    assert.equal(program.log()[0]!['workers'], os.availableParallelism());
    for (const workers of ['1', '2']) {
      const env = { ...BARE_ENV, ...SETTINGS, WORKERS: workers, PORT: String(program.port) };
      const second = spawn(process.execPath, [MAIN], { cwd: emptyFolder(t), env });
      let stderr = '';
      second.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
      assert.deepEqual(await once(second, 'close'), [1, null]);
      assert.match(stderr, /^PORT: \d+ is in use by another program.*\n$/);
    }
  });

  test('the first line says where it listens, even when a request came before all threads were there', async (t) => {
    const port = await freePort();
    const answered = eventually('an answer', () => send(port, 'GET', PING).catch(() => undefined));
    const program = await start(t, { WORKERS: '4', PORT: String(port) });
    assert.equal((await answered).status, 200);
    await program.line(({ msg }) => msg === 'request');
    assert.equal(program.log()[0]!['msg'], 'listening');
  });

  test('a start that fails in a thread names the setting, and nothing else', async (t) => {
    const env = { PATH: process.env['PATH'], ...SETTINGS, HOST: '192.0.2.1', PORT: '0' };
    const child = spawn(process.execPath, [MAIN], { cwd: emptyFolder(t), env });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
    assert.deepEqual(await once(child, 'close'), [1, null]);
    assert.match(said, /^HOST: 192\.0\.2\.1 is no address of this machine; accepted: .*\n$/);
  });

  test('the log level of all threads changes with the signal', async (t) => {
    const program = await start(t, { LOG_LEVEL: 'error' });
    await send(program.port, 'GET', PING);
    program.child.kill('SIGUSR2');
    await program.line(({ msg }) => msg === 'log level');
    while (threadsOf(program).size < 3) await send(program.port, 'GET', PING);
    assert.equal((await program.stop()).code, 0);
  });
});
