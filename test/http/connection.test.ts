import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { Exchange } from '../../src/http/exchange.ts';
import { toFailure } from '../../src/http/problem.ts';
import { createHttpServer } from '../../src/http/server.ts';
import type { HttpServer, Timeouts } from '../../src/http/server.ts';
import { eventually } from '../helpers/mailbox.ts';
import { assertProblem, openRaw, rawChunked, rawPost, rawRequest, sendRaw } from '../helpers/raw.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

const PING = rawRequest('GET /api/v1/public/ping');
const LOGIN = '/api/v1/auth/login';
const NOBODY = '{"email":"nobody@example.com","password":"wrong"}';
const CONNECT = rawRequest('CONNECT example.com:443');

suite('connection', { concurrency: true }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  test('pipelined requests are answered in their order, the slow ones too', async () => {
    const requests = Array.from({ length: 30 }, (_, i) => {
      const id = `X-Request-Id: r${i}`;
      return i % 3 === 0 ? rawPost(LOGIN, NOBODY, [id]) : rawRequest('GET /api/v1/public/ping', [id]);
    });
    const connection = openRaw(server.port);
    connection.write(requests.join(''));
    for (let i = 0; i < requests.length; i++) {
      const { status, headers } = await connection.answer();
      assert.deepEqual([status, headers['x-request-id']], [i % 3 === 0 ? 401 : 200, `r${i}`]);
    }
    connection.close();
  });

  test('a fault behind pipelined requests is answered once, after them', async () => {
    const slow = rawPost(LOGIN, NOBODY);
    const register = rawPost('/api/v1/auth/register', '{"email":"before@example.com","password":"correct horse"}');
    const faults: [bytes: string, status: number, code: string][] = [
      ['GARBAGE\r\n\r\n', 400, 'malformed_request'],
      ['GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400, 'malformed_request'],
      [rawRequest('GET /', [`X: ${'a'.repeat(20_000)}`]), 431, 'headers_too_large'],
      [CONNECT, 405, 'method_not_allowed'],
    ];
    const requests = [[PING, [200]], [slow, [401]], [slow + PING, [401, 200]], [register, []]] as const;
    for (const [fault, status, code] of faults) {
      for (const [before, statuses] of requests) {
        const connection = openRaw(server.port);
        connection.write(before + fault);
        if (before === register) assert.ok([201, 409].includes((await connection.answer()).status));
        for (const expected of statuses) assert.equal((await connection.answer()).status, expected);
        const last = await connection.answer();
        assertProblem(last, status, code);
        assert.equal(last.headers['connection'], 'close');
        connection.write('more of it\r\n\r\n');
        assert.equal(await connection.closed, 'end');
        assert.equal(connection.rest(), '');
        connection.close();
      }
    }
  });

  test('nothing is served behind a request that closes the connection', async () => {
    const connection = openRaw(server.port);
    connection.write(rawRequest('GET /healthz', ['Connection: close']) + PING);
    assert.equal((await connection.answer()).headers['connection'], 'close');
    assert.equal(await connection.closed, 'end');
    assert.equal(connection.rest(), '');
    connection.close();
  });

  test('a client that has stopped sending still gets its answers', async () => {
    const slow = rawPost(LOGIN, NOBODY);
    for (const [bytes, statuses] of [[PING, [200]], [slow, [401]], [slow + PING, [401, 200]]] as const) {
      const connection = openRaw(server.port);
      connection.socket.end(bytes);
      for (const status of statuses) assert.equal((await connection.answer()).status, status);
      assert.equal(await connection.closed, 'end');
      connection.close();
    }
    for (const bytes of [slow.slice(0, -1), rawChunked(LOGIN, '2\r\n{'), 'GET /healthz HTTP/1.1\r\nHo']) {
      const connection = openRaw(server.port);
      connection.socket.end(bytes);
      assertProblem(await connection.answer(), 400, 'malformed_request', bytes);
      assert.equal(await connection.closed, 'end');
      connection.close();
    }
    const silent = openRaw(server.port);
    silent.socket.end();
    assert.equal(await silent.closed, 'end');
    assert.equal(silent.rest(), '');
    silent.close();
  });

  test('a request is understood wherever its packets are cut', async () => {
    const bytes = rawPost(LOGIN, NOBODY);
    const bytewise = openRaw(server.port);
    for (const byte of bytes) {
      bytewise.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assertProblem(await bytewise.answer(), 401, 'invalid_credentials');
    bytewise.close();
    for (let at = 1; at < bytes.length; at += 7) {
      const connection = openRaw(server.port);
      connection.write(bytes.slice(0, at));
      await delay(1);
      connection.write(bytes.slice(at));
      assertProblem(await connection.answer(), 401, 'invalid_credentials', `cut at ${at}`);
      connection.close();
    }
  });

  test('100-continue is said when the body will be read, and not when it will not', async () => {
    const asking = (target: string, length: number, fields: string[] = ['Content-Type: application/json']): string =>
      rawRequest(`POST ${target}`, [...fields, `Content-Length: ${length}`, 'Expect: 100-continue']);
    const connection = openRaw(server.port);
    connection.write(asking(LOGIN, NOBODY.length));
    assert.equal((await connection.answer()).status, 100);
    connection.write(NOBODY + PING);
    assertProblem(await connection.answer(), 401, 'invalid_credentials');
    assert.equal((await connection.answer()).status, 200);
    connection.close();
    const refused: [bytes: string, status: number, code: string][] = [
      [asking(LOGIN, 1e6), 413, 'body_too_large'],
      [asking(LOGIN, 10, ['Content-Type: text/plain']), 415, 'unsupported_media_type'],
      [asking('/nothing', 10), 404, 'not_found'],
      [asking('/api/v1/public/ping', 10), 405, 'method_not_allowed'],
      [asking('/api/v1/auth/password', 10), 401, 'not_authenticated'],
    ];
    for (const [bytes, status, code] of refused) {
      const answer = await sendRaw(server.port, bytes);
      assertProblem(answer, status, code);
      assert.equal(answer.headers['connection'], 'close', 'or the body would be taken for a request');
    }
  });

  test('clients that vanish at any moment do no harm', async () => {
    const open = rawPost(LOGIN, NOBODY);
    const moments = [
      ...['', 'GET /', PING, open, open.slice(0, -5), CONNECT, 'garbage', open + PING, open + CONNECT],
      ...[rawChunked(LOGIN, '5\r\n{'), rawRequest('GET /docs'), rawPost(LOGIN, 'x'.repeat(100_000))],
      rawRequest(`POST ${LOGIN}`, ['Expect: 100-continue']),
    ];
    for (const bytes of moments) {
      for (const pauseMs of [0, 1, 5]) {
        const { socket } = openRaw(server.port);
        await once(socket, 'connect');
        await new Promise((resolve) => socket.write(bytes, resolve));
        if (pauseMs > 0) await delay(pauseMs);
        socket.resetAndDestroy();
      }
    }
    assert.equal((await server.call('GET', '/healthz')).status, 200);
    assert.deepEqual(server.log().filter(({ level }) => level === 'error'), []);
  });
});

/** The HTTP server alone: it reads the body and answers 204 after a while. */
const createBareServer = (answerMs: number, timeouts?: Timeouts): HttpServer =>
  createBare(
    (exchange) =>
      void exchange.readBody().then(
        () => setTimeout(() => exchange.send(204), answerMs),
        (thrown) => exchange.refuse(toFailure(thrown)),
      ),
    timeouts,
  );

function createBare(handle: (exchange: Exchange) => void, timeouts?: Timeouts, onAnswered = () => {}): HttpServer {
  let count = 0;
  return createHttpServer({
    handle,
    clientIp: () => '',
    nextRequestId: () => String(++count),
    now: () => 0,
    wallTime: () => 0,
    bodyLimit: 1000,
    onAnswered,
    onRejected: () => {},
    ...(timeouts === undefined ? {} : { timeouts }),
  });
}

test('however much follows a fault, it is answered once, and nothing piles up', async (t) => {
  const warnings: Error[] = [];
  const warn = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const server = createBareServer(100);
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const connection = openRaw(port);
  t.after(() => (connection.close(), server.drain(0)));
  connection.write(PING + 'garbage');
  for (let i = 0; i < 40; i++) {
    connection.write('garbage');
    await delay(1);
  }
  assert.equal((await connection.answer()).status, 204);
  assertProblem(await connection.answer(), 400, 'malformed_request');
  assert.equal(await connection.closed, 'end');
  assert.equal(connection.rest(), '');
  assert.deepEqual(warnings, []);
});

suite('slow clients', { concurrency: true }, () => {
  let server: HttpServer;
  let port: number;
  before(async () => {
    server = createBareServer(0, { headersMs: 1000, requestMs: 2000, checkMs: 20, keepAliveMs: 500 });
    port = await server.listen({ host: '127.0.0.1', port: 0 });
  });
  after(() => server.drain(0));

  const slow: Record<string, string> = {
    'a head that does not end': 'GET / HTTP/1.1\r\nHost: a\r\nX: ',
    'a start line that does not end': 'GET /',
    'a declared body that does not come': rawPost('/', '{}', ['X: a']).slice(0, -1),
    'a chunked body that does not end': rawChunked('/', '2\r\n{}\r\n'),
    'a second request that does not end': 'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT',
  };
  for (const [what, bytes] of Object.entries(slow)) {
    test(`${what} is cut off with 408`, async () => {
      const connection = openRaw(port);
      connection.write(bytes);
      if (what.includes('second')) assert.equal((await connection.answer()).status, 204);
      const answer = await connection.answer();
      assertProblem(answer, 408, 'request_timeout');
      assert.equal(answer.headers['connection'], 'close');
      assert.equal(await connection.closed, 'end');
      connection.close();
    });
  }

  test('bytes that trickle in do not put it off', async () => {
    const connection = openRaw(port);
    connection.write('GET / HTTP/1.1\r\nHost: a\r\nX: ');
    const trickle = setInterval(() => connection.write('a'), 10);
    assertProblem(await connection.answer(), 408, 'request_timeout');
    clearInterval(trickle);
    connection.close();
  });

  test('a connection on which nothing comes is ended', async () => {
    const connection = openRaw(port);
    assert.equal(await connection.closed, 'end');
    connection.close();
  });

  test('a second request that begins late has its time all the same, and is told when that is over', async (t) => {
    const patient = createBareServer(0, { headersMs: 1500, requestMs: 3000, checkMs: 20, keepAliveMs: 50 });
    const connection = openRaw(await patient.listen({ host: '127.0.0.1', port: 0 }));
    t.after(() => patient.drain(0));
    connection.write(PING);
    assert.equal((await connection.answer()).status, 204);
    connection.write('GET / HT');
    assertProblem(await connection.answer(), 408, 'request_timeout');
    assert.equal(await connection.closed, 'end');
    connection.close();
  });
});

suite('a server that stops', { concurrency: true }, () => {
  test('serves who has come before it took them in', async () => {
    const server = createBareServer(0);
    const port = await server.listen({ host: '127.0.0.1', port: 0 });
    const connections = Array.from({ length: 60 }, () => openRaw(port));
    await Promise.all(connections.map(({ socket }) => once(socket, 'connect')));
    const stopped = server.drain(50_000);
    await Promise.all(connections.map(async (connection) => {
      for (let last = false; !last; ) {
        connection.write(PING);
        const { status, headers } = await connection.answer();
        assert.equal(status, 204);
        last = headers['connection'] === 'close';
      }
      assert.equal(await connection.closed, 'end');
    }));
    await stopped;
    for (const connection of connections) connection.close();
  });

  test('keeps an idle connection for as long as its client may use it, and no longer', async () => {
    const server = createBareServer(0, { headersMs: 60_000, requestMs: 60_000, checkMs: 20, keepAliveMs: 2000 });
    const port = await server.listen({ host: '127.0.0.1', port: 0 });
    const [used, idle] = [openRaw(port), openRaw(port)];
    for (const connection of [used, idle]) {
      connection.write(PING);
      assert.equal((await connection.answer()).headers['connection'], 'keep-alive');
    }
    const stopped = server.drain(50_000);
    await delay(100);
    used.write(PING);
    assert.equal((await used.answer()).headers['connection'], 'close');
    assert.deepEqual(await Promise.all([used.closed, idle.closed]), ['end', 'end']);
    await stopped;
    for (const connection of [used, idle]) connection.close();
  });
});

const begin = (exchange: Exchange, stream: () => Readable): void => exchange.sendStream(200, 'text/plain', stream());

/** An answer that never ends, and is counted when it is over. */
async function startStreaming(handle: (exchange: Exchange, stream: () => Readable) => void) {
  const told = { answered: 0, streams: [] as Readable[], exchanges: [] as Exchange[] };
  function* endless() {
    for (;;) yield 'x'.repeat(10_000);
  }
  const server = createBare(
    (exchange) => {
      told.exchanges.push(exchange);
      handle(exchange, () => (told.streams.push(Readable.from(endless())), told.streams.at(-1)!));
    },
    undefined,
    () => told.answered++,
  );
  return { server, told, port: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

test('a streamed answer is over, once, when its client goes: before it, within it, behind another', async (t) => {
  const behind = PING + rawRequest('GET /second');
  const cases: [bytes: string, begin: (exchange: Exchange, stream: () => Readable) => void][] = [
    [PING, (exchange, stream) => exchange.req.socket.once('close', () => setImmediate(() => begin(exchange, stream)))],
    [PING, (exchange, stream) => begin(exchange, stream)],
    [behind, (exchange, stream) => exchange.path === '/second' && begin(exchange, stream)],
  ];
  for (const [bytes, handle] of cases) {
    const { server, told, port } = await startStreaming(handle);
    t.after(() => server.drain(0));
    const { socket } = openRaw(port);
    socket.write(bytes);
    await eventually('the requests', () => told.exchanges.length === bytes.split('GET').length - 1 || undefined);
    socket.resetAndDestroy();
    await eventually('the end of the answer', () => told.answered > 0 || undefined);
    await delay(20);
    assert.deepEqual([told.answered, told.streams.map(({ destroyed }) => destroyed)], [1, [true]]);
  }
});

test('a client that takes nothing of a streamed answer is not waited for without end', async (t) => {
  const { server, told, port } = await startStreaming(begin);
  t.after(() => server.drain(0));
  const { socket } = openRaw(port);
  t.after(() => socket.destroy());
  socket.pause();
  socket.write(PING);
  await eventually('a full connection', () => (told.exchanges[0]?.req.socket.writableLength ?? 0) > 0 || undefined);
  const served = told.exchanges[0]!.req.socket;
  assert.equal(served.timeout, 60_000);
  served.emit('timeout');
  await eventually('the end of the answer', () => told.answered > 0 || undefined);
  assert.deepEqual([told.answered, told.streams[0]!.destroyed], [1, true]);
});

test('answers to a flood of pipelined requests leave before the whole of it has been read', async (t) => {
  let count = 0;
  let leaving = 0;
  const server = createBare((exchange) => {
    exchange.send(204);
    if (++count === 1500) leaving = exchange.req.socket.bytesWritten;
  });
  const connection = openRaw(await server.listen({ host: '127.0.0.1', port: 0 }));
  t.after(() => (connection.close(), server.drain(0)));
  connection.write('GET / HTTP/1.1\r\n\r\n'.repeat(1500));
  for (let i = 0; i < 1500; i++) assert.equal((await connection.answer()).status, 204);
  assert.ok(leaving > 0);
});
