import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { assertProblem, openRaw, rawChunked, rawPost, rawRequest, sendRaw } from '../helpers/raw.ts';
import type { RawConnection } from '../helpers/raw.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

const LOGIN = '/api/v1/auth/login';
const NOBODY = '{"email":"nobody@example.com","password":"wrong"}';
const LIMIT = 4096;
const SMUGGLED = rawRequest('GET /api/v1/public/ping', ['X-Request-Id: smuggled']);

suite('framing', { concurrency: true }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ BODY_LIMIT: String(LIMIT) });
  });
  after(() => server.close());

  test('a body whose end can be read in two ways is refused, and nothing behind it is served', async () => {
    const typed = (fields: string[], body: string): string =>
      rawRequest(`POST ${LOGIN}`, ['Content-Type: application/json', ...fields], body);
    const ambiguous: Record<string, string> = {
      'Content-Length and chunked': typed(['Content-Length: 4', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
      'chunked and Content-Length': typed(['Transfer-Encoding: chunked', 'Content-Length: 4'], '0\r\n\r\n'),
      'the same length twice': typed(['Content-Length: 2', 'Content-Length: 2'], '{}'),
      'two lengths': typed(['Content-Length: 2', 'Content-Length: 0'], '{}'),
      'a list of lengths': typed(['Content-Length: 2, 2'], '{}'),
      'a signed length': typed(['Content-Length: +2'], '{}'),
      'a negative length': typed(['Content-Length: -2'], '{}'),
      'a hexadecimal length': typed(['Content-Length: 0x2'], '{}'),
      'a length with a space in it': typed(['Content-Length: 1 0'], '{"a":"bcd"}'),
      'an empty length': typed(['Content-Length:'], '{}'),
      'a length beyond 64 bits': typed(['Content-Length: 18446744073709551618'], '{}'),
      'chunked twice': typed(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
      'chunked, chunked': typed(['Transfer-Encoding: chunked, chunked'], '0\r\n\r\n'),
      'gzip, then chunked': typed(['Transfer-Encoding: gzip', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
      'identity, then chunked': typed(['Transfer-Encoding: identity', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
      'gzip, chunked': typed(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
      'chunked, identity': typed(['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'),
      'identity': typed(['Transfer-Encoding: identity'], '0\r\n\r\n'),
      'xchunked': typed(['Transfer-Encoding: xchunked'], '0\r\n\r\n'),
      'chunked in quotes': typed(['Transfer-Encoding: "chunked"'], '0\r\n\r\n'),
      'chunked with a parameter': typed(['Transfer-Encoding: chunked;q=1'], '0\r\n\r\n'),
      'chunked behind a vertical tab': typed(['Transfer-Encoding: \vchunked'], '0\r\n\r\n'),
      'chunked in HTTP/1.0': `${typed(['Transfer-Encoding: chunked'], '').replace('/1.1', '/1.0')}0\r\n\r\n`,
      'no hexadecimal size': rawChunked(LOGIN, 'x\r\n{}\r\n0\r\n\r\n'),
      'a negative size': rawChunked(LOGIN, '-2\r\n{}\r\n0\r\n\r\n'),
      'a size with 0x': rawChunked(LOGIN, '0x2\r\n{}\r\n0\r\n\r\n'),
      'a size behind a space': rawChunked(LOGIN, ' 2\r\n{}\r\n0\r\n\r\n'),
      'an empty size': rawChunked(LOGIN, '\r\n{}\r\n0\r\n\r\n'),
      'a size beyond 64 bits': rawChunked(LOGIN, '10000000000000002\r\n{}\r\n0\r\n\r\n'),
      'a size that is too small': rawChunked(LOGIN, '1\r\n{}\r\n0\r\n\r\n'),
      'a size that is too large': rawChunked(LOGIN, '3\r\n{}\r\n0\r\n\r\n'),
      'line feed behind a size': rawChunked(LOGIN, '2\n{}\r\n0\r\n\r\n'),
      'line feed behind a chunk': rawChunked(LOGIN, '2\r\n{}\n0\r\n\r\n'),
      'line feed behind the last size': rawChunked(LOGIN, '2\r\n{}\r\n0\n\r\n'),
      'line feed in an extension': rawChunked(LOGIN, '2;a\n{}\r\n0\r\n\r\n'),
      'carriage return in an extension': rawChunked(LOGIN, '2;a\rb\r\n{}\r\n0\r\n\r\n'),
      'a trailer without a colon': rawChunked(LOGIN, '2\r\n{}\r\n0\r\nabc\r\n\r\n'),
      'a trailer with NUL': rawChunked(LOGIN, '2\r\n{}\r\n0\r\nA: b\0\r\n\r\n'),
    };
    await Promise.all(
      Object.entries(ambiguous).map(async ([what, bytes]) => {
        const connection = openRaw(server.port);
        connection.write(Buffer.from(bytes + SMUGGLED, 'latin1'));
        const answer = await connection.answer();
        assertProblem(answer, 400, 'malformed_request', what);
        assert.equal(answer.headers['connection'], 'close', what);
        assert.equal(await connection.closed, 'end', what);
        assert.equal(connection.rest(), '', what);
        connection.close();
      }),
    );
  });

  test('a chunked body is read whatever its chunks look like', async () => {
    const size = NOBODY.length.toString(16);
    const bytewise = [...NOBODY].map((character) => `1\r\n${character}\r\n`).join('');
    const chunked: Record<string, string> = {
      'one chunk': `${size}\r\n${NOBODY}\r\n0\r\n\r\n`,
      'upper case': `${size.toUpperCase()}\r\n${NOBODY}\r\n0\r\n\r\n`,
      'leading zeros': `0000${size}\r\n${NOBODY}\r\n000\r\n\r\n`,
      'a byte each': `${bytewise}0\r\n\r\n`,
      'extensions': `${size};a;b=c;d="e"\r\n${NOBODY}\r\n0;f=g\r\n\r\n`,
      'trailers': `${size}\r\n${NOBODY}\r\n0\r\nA: b\r\nHost: c\r\nAuthorization: Bearer d\r\n\r\n`,
    };
    for (const [what, chunks] of Object.entries(chunked)) {
      const connection = openRaw(server.port);
      connection.write(rawChunked(LOGIN, chunks) + SMUGGLED);
      assertProblem(await connection.answer(), 401, 'invalid_credentials', what);
      assert.equal((await connection.answer()).status, 200, what);
      connection.close();
    }
  });

  test('what surrounds a chunked body is bounded', async () => {
    const extensions = rawChunked(LOGIN, `2;a=${'b'.repeat(17_000)}\r\n{}\r\n0\r\n\r\n`);
    assertProblem(await sendRaw(server.port, extensions), 413, 'body_too_large');
    const trailers = rawChunked(LOGIN, `2\r\n{}\r\n0\r\n${`A: ${'b'.repeat(100)}\r\n`.repeat(200)}\r\n`);
    assertProblem(await sendRaw(server.port, trailers), 431, 'headers_too_large');
  });

  test('a body of the limit is read, one byte more is refused, whether declared or chunked', async () => {
    const padded = (length: number): string => NOBODY + ' '.repeat(length - NOBODY.length);
    const inChunks = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    assert.equal((await sendRaw(server.port, rawPost(LOGIN, padded(LIMIT)))).status, 401);
    assert.equal((await sendRaw(server.port, rawChunked(LOGIN, inChunks(padded(LIMIT))))).status, 401);
    assertProblem(await sendRaw(server.port, rawPost(LOGIN, padded(LIMIT + 1))), 413, 'body_too_large');
    assertProblem(await sendRaw(server.port, rawChunked(LOGIN, inChunks(padded(LIMIT + 1)))), 413, 'body_too_large');
    const silent = rawRequest(`POST ${LOGIN}`, ['Content-Type: application/json', 'Content-Length: 1000000000']);
    assertProblem(await sendRaw(server.port, silent), 413, 'body_too_large', 'nothing of it sent');
  });

  test('a client that goes on sending gets its refusal whole, not a reset', async () => {
    const piece = 'x'.repeat(64 * 1024);
    const declared = rawRequest(`POST ${LOGIN}`, ['Content-Type: application/json', `Content-Length: ${1e9}`]);
    const refused: [what: string, head: string, piece: string, status: number][] = [
      ['declared', declared, piece, 413],
      ['chunked', rawChunked(LOGIN, ''), `10000\r\n${piece}\r\n`, 413],
      ['wrong kind', declared.replace('application/json', 'text/plain'), piece, 415],
      ['nothing there', declared.replace(LOGIN, '/nothing'), piece, 404],
      ['bad framing', rawChunked(LOGIN, 'no size\r\n'), piece, 400],
      ['not HTTP', 'garbage', piece, 400],
    ];
    for (const [what, head, body, status] of refused) {
      const connection = openRaw(server.port);
      connection.write(head);
      await sendUntil(connection, body, 200);
      const answer = await connection.answer();
      assert.equal(answer.status, status, what);
      assert.equal(answer.headers['connection'], 'close', what);
      assert.equal(await connection.closed, 'end', what);
      assert.equal(connection.rest(), '', what);
      connection.close();
    }
  });

  test('behind a body that was too large nothing is served', async () => {
    const tooLarge = rawChunked('/api/v1/auth/register', `1001\r\n${' '.repeat(LIMIT + 1)}\r\n0\r\n\r\n`);
    const account = '{"email":"behind@example.com","password":"correct horse"}';
    const connection = openRaw(server.port);
    connection.write(tooLarge);
    assert.equal((await connection.answer()).status, 413);
    connection.write(rawPost('/api/v1/auth/register', account));
    assert.equal(await connection.closed, 'end');
    connection.close();
    assert.equal((await server.call('POST', '/api/v1/auth/register', { body: account })).status, 201);
  });

  test('a body that nobody asked for is passed over', async () => {
    const connection = openRaw(server.port);
    connection.write(rawRequest('GET /api/v1/public/ping', ['Content-Length: 5'], 'GET /') + SMUGGLED);
    assert.equal((await connection.answer()).status, 200);
    assert.equal((await connection.answer()).headers['x-request-id'], 'smuggled');
    connection.close();
  });
});

/** Sends `piece` over and over, `times` at most, minding neither an answer nor the end of the server's sending. */
async function sendUntil({ socket }: RawConnection, piece: string, times: number): Promise<void> {
  for (let i = 0; i < times && socket.writable; i++) {
    if (!socket.write(piece)) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
  }
}
