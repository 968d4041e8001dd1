import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { assertProblem, openRaw, rawPost, rawRequest, sendRaw } from '../helpers/raw.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

const PING = '/api/v1/public/ping';
const LOGIN = '/api/v1/auth/login';
const NOBODY = '{"email":"nobody@example.com","password":"wrong"}';

suite('server', { concurrency: true }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ BODY_LIMIT: '4kb' });
  });
  after(() => server.close());

  test('a head that is not acceptable is refused in the one form of all refusals', async () => {
    const get = (target: string, ...fields: string[]): string => rawRequest(`GET ${target}`, fields);
    const refused: [what: string, bytes: string, status: number, code: string][] = [
      ['no Host', `GET ${PING} HTTP/1.1\r\n\r\n`, 400, 'invalid_host'],
      ['two Hosts', get(PING, 'Host: a', 'Host: a'), 400, 'invalid_host'],
      ['two Hosts, differently spelt', get(PING, 'Host: a', 'hOST: b'), 400, 'invalid_host'],
      ['two Hosts in HTTP/1.0', `GET ${PING} HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n`, 400, 'invalid_host'],
      ...['', 'a b', 'a,b', 'a/b', 'user@a', 'a:b', 'a:80:80', '[::1', 'a?b', 'a#b', 'http://a', '<a>', 'a%zz'].map(
        (host): [string, string, number, string] => [`Host: ${host}`, get(PING, `Host: ${host}`), 400, 'invalid_host'],
      ),
      ['HTTP/2.0', `GET ${PING} HTTP/2.0\r\nHost: a\r\n\r\n`, 400, 'malformed_request'],
      ['HTTP/0.9', `GET ${PING} HTTP/0.9\r\nHost: a\r\n\r\n`, 400, 'malformed_request'],
      ['HTTP/1.2', `GET ${PING} HTTP/1.2\r\nHost: a\r\n\r\n`, 400, 'malformed_request'],
      ['http/1.1', `GET ${PING} http/1.1\r\nHost: a\r\n\r\n`, 400, 'malformed_request'],
      ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'malformed_request'],
      ['unknown method', rawRequest(`FETCH ${PING}`), 400, 'malformed_request'],
      ['lower-case method', rawRequest(`get ${PING}`), 400, 'malformed_request'],
      ['TLS', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 400, 'malformed_request'],
      ['TRACE', rawRequest(`TRACE ${PING}`), 405, 'method_not_allowed'],
      ['CONNECT', rawRequest('CONNECT example.com:443'), 405, 'method_not_allowed'],
      ['known method, wrong here', rawRequest(`PROPFIND ${PING}`), 405, 'method_not_allowed'],
      ['* without OPTIONS', get('*'), 400, 'malformed_request'],
      ['no path', rawRequest('GET ping'), 400, 'malformed_request'],
      ['fragment', get(`${PING}#a`), 400, 'malformed_request'],
      ['not ASCII', get('/\xe9'), 400, 'malformed_request'],
      ['%', get('/%'), 400, 'malformed_request'],
      ['%4', get('/%4'), 400, 'malformed_request'],
      ['%zz', get('/%zz'), 400, 'malformed_request'],
      ['%zz in the query', get(`${PING}?a=%zz`), 400, 'malformed_request'],
      ['UTF-8 cut short', get('/%c3'), 400, 'malformed_request'],
      ['overlong UTF-8', get('/%c0%af'), 400, 'malformed_request'],
      ['surrogate in UTF-8', get('/%ed%a0%80'), 400, 'malformed_request'],
      ['UTF-8 cut short in the query', get('/api/v1/users?q=%c3'), 401, 'not_authenticated'],
      ['absolute with user', get('http://user@localhost/'), 400, 'malformed_request'],
      ['absolute without host', get('http:///api'), 400, 'malformed_request'],
      ['absolute, other scheme', get('ftp://localhost/'), 400, 'malformed_request'],
      ['//host', get('//example.com/'), 404, 'not_found'],
      ['dot segments', get('/api/v1/../v1/public/ping'), 404, 'not_found'],
      ['escaped dot segments', get('/api/v1/%2e%2e/v1/public/ping'), 404, 'not_found'],
      ['doubled slash', get('/api/v1//public/ping'), 404, 'not_found'],
      ['final slash', get(`${PING}/`), 404, 'not_found'],
      ['upper-case path', get(PING.toUpperCase()), 404, 'not_found'],
      ['backslash', get('/api\\v1\\public\\ping'), 404, 'not_found'],
      ['escaped letter', get('/api/v1/public/%70ing'), 404, 'not_found'],
      ['NUL in the path', get(`${PING}%00`), 404, 'not_found'],
      ['unknown query parameter', get(`${PING}?a=b`), 400, 'invalid_parameter'],
      ['two Authorizations', get(PING, 'Authorization: Bearer a', 'authorization: Bearer a'), 400, 'duplicate_header'],
      ['two Content-Types', rawPost(LOGIN, NOBODY, ['content-type: application/json']), 400, 'duplicate_header'],
      ['space before colon', get(PING, 'Host : a'), 400, 'malformed_request'],
      ['folded line', get(PING, 'X: a\r\n b'), 400, 'malformed_request'],
      ['no name', get(PING, ': a'), 400, 'malformed_request'],
      ['no colon', get(PING, 'abc'), 400, 'malformed_request'],
      ['NUL in a value', get(PING, 'X: a\0b'), 400, 'malformed_request'],
      ['CR in a value', get(PING, 'X: a\rb'), 400, 'malformed_request'],
      ['bare LF', `GET ${PING} HTTP/1.1\nHost: a\n\n`, 400, 'malformed_request'],
      ['space in the target', get('/a b'), 400, 'malformed_request'],
      ['target over 8 KiB', get(`/${'a'.repeat(8192)}`), 414, 'target_too_long'],
      ['query over 8 KiB', get(`${PING}?a=${'a'.repeat(8192)}`), 414, 'target_too_long'],
      ['target over 16 KiB', get(`/${'a'.repeat(20_000)}`), 414, 'target_too_long'],
      ['header over 16 KiB', get(PING, `X: ${'a'.repeat(17_000)}`), 431, 'headers_too_large'],
      ['headers over 16 KiB', get(PING, ...Array(500).fill(`X: ${'a'.repeat(40)}`)), 431, 'headers_too_large'],
    ];
    await inTurn(refused, async ([what, bytes, status, code]) => {
      assertProblem(await sendRaw(server.port, Buffer.from(bytes, 'latin1')), status, code, what);
    });
  });

  test('what is unusual but right is served', async () => {
    const served: [what: string, bytes: string, status: number][] = [
      ['HTTP/1.0 without Host', `GET ${PING} HTTP/1.0\r\n\r\n`, 200],
      ...['a', 'A.b-c.example', 'localhost:', 'localhost:8000', '127.0.0.1:1', '[::1]', '[::1]:8000', 'a_b'].map(
        (host): [string, string, number] => [`Host: ${host}`, rawRequest(`GET ${PING}`, [`Host: ${host}`]), 200],
      ),
      ['Host between tabs', rawRequest(`GET ${PING}`, ['Host:\ta\t']), 200],
      ['absolute form', rawRequest(`GET http://example.com${PING}`), 200],
      ['absolute form of the root', rawRequest('GET http://localhost:8000'), 307],
      ['empty lines before', `\r\n\r\n${rawRequest(`GET ${PING}`)}`, 200],
      ['empty query', rawRequest(`GET ${PING}?`), 200],
      ['Upgrade, which is not taken up', rawRequest(`GET ${PING}`, ['Connection: Upgrade', 'Upgrade: websocket']), 200],
      ['h2c, which is not taken up', rawRequest(`GET ${PING}`, ['Connection: Upgrade', 'Upgrade: h2c']), 200],
      ['a hundred headers', rawRequest(`GET ${PING}`, Array.from({ length: 100 }, (_, i) => `X-${i}: a`)), 200],
      ['an expectation that nobody knows', rawPost(LOGIN, NOBODY, ['Expect: fish']), 401],
      ['OPTIONS *', rawRequest('OPTIONS *'), 204],
      ['longest target', rawRequest(`GET /${'a'.repeat(8191)}`), 404],
    ];
    await inTurn(served, async ([what, bytes, status]) => {
      const answer = await sendRaw(server.port, bytes);
      assert.equal(answer.status, status, `${what}: ${answer.body}`);
      assert.equal(answer.headers['server'], undefined, what);
      assert.equal(answer.headers['x-content-type-options'], 'nosniff', what);
    });
  });

  test('HEAD answers as GET does, without the body', async () => {
    const { access_token: token } = await server.loginAdmin();
    const pages = ['/', '/docs', '/openapi.json', '/no'];
    await inTurn([PING, '/healthz', '/readyz', '/api/v1/users/me', '/api/v1/users', ...pages], async (target) => {
      const connection = openRaw(server.port);
      connection.write(rawRequest(`HEAD ${target}`, [`Authorization: Bearer ${token}`, 'X-Request-Id: a']));
      connection.write(rawRequest(`GET ${target}`, [`Authorization: Bearer ${token}`, 'X-Request-Id: a']));
      const head = await connection.answer({ toHead: true });
      const get = await connection.answer();
      assert.equal(head.status, get.status, target);
      assert.deepEqual(Object.keys(head.headers), Object.keys(get.headers), target);
      assert.equal(head.headers['content-length'], get.headers['content-length'], target);
      connection.close();
    });
  });

  test('OPTIONS and 405 list the methods of the path', async () => {
    const allowed: Record<string, string> = {
      [PING]: 'GET, HEAD, OPTIONS',
      [LOGIN]: 'POST, OPTIONS',
      '/api/v1/users/me': 'GET, HEAD, PATCH, OPTIONS',
      '/api/v1/users/0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21': 'GET, HEAD, PATCH, DELETE, OPTIONS',
    };
    for (const [path, allow] of Object.entries(allowed)) {
      const options = await server.call('OPTIONS', path);
      assert.deepEqual([options.status, options.headers['allow'], options.text], [204, allow, ''], path);
      const put = await server.call('PUT', path);
      assert.deepEqual([put.status, put.headers['allow'], put.json.code], [405, allow, 'method_not_allowed'], path);
    }
    const head = await server.call('HEAD', LOGIN);
    assert.deepEqual([head.status, head.headers['allow']], [405, 'POST, OPTIONS']);
    assert.equal((await server.call('OPTIONS', '/nothing')).status, 404);
  });

  test('every answer says its request id, and keeps an incoming one that is harmless', async () => {
    const asked: [fields: string[], kept: string | undefined][] = [
      [[], undefined],
      [['X-Request-Id: aZ09._-'], 'aZ09._-'],
      [[`X-Request-Id: ${'a'.repeat(64)}`], 'a'.repeat(64)],
      [[`X-Request-Id: ${'a'.repeat(65)}`], undefined],
      [['X-Request-Id:'], undefined],
      [['X-Request-Id: a b'], undefined],
      [['X-Request-Id: a"b'], undefined],
      [['X-Request-Id: \xe9'], undefined],
      [['X-Request-Id: a', 'X-Request-Id: b'], undefined],
      [['X-Request-Id: a', 'X-Request-Id: b', 'X-Request-Id: c'], undefined],
    ];
    for (const [fields, kept] of asked) {
      for (const target of [PING, '/nothing']) {
        const { headers } = await sendRaw(server.port, Buffer.from(rawRequest(`GET ${target}`, fields), 'latin1'));
        assert.match(headers['x-request-id']!, /^[A-Za-z0-9._-]{1,64}$/);
        if (kept !== undefined) assert.equal(headers['x-request-id'], kept);
        else assert.ok(!['a', 'b', 'c', 'a b'].includes(headers['x-request-id']!), fields.join());
      }
    }
  });

  test('a body is JSON in UTF-8, or refused by its kind before it is read', async () => {
    const accepted = [
      ...['application/json', 'Application/JSON'],
      ...['application/json; charset=utf-8', 'application/json;charset="UTF-8"', 'application/json; v=1; charset=utf8'],
    ];
    const refused = [
      ...['', 'text/plain', 'application/jsonx', 'application/json, text/html', 'application/json; charset=latin1'],
      ...['application/json; v=1, text/html', 'application/json; charset=utf-8; charset=latin1'],
      ...['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/problem+json', 'json'],
    ];
    for (const type of accepted) {
      const sent = rawRequest(`POST ${LOGIN}`, [`Content-Type: ${type}`, `Content-Length: ${NOBODY.length}`], NOBODY);
      assertProblem(await sendRaw(server.port, sent), 401, 'invalid_credentials', type);
    }
    for (const type of refused) {
      const sent = rawRequest(`POST ${LOGIN}`, [`Content-Type: ${type}`, `Content-Length: ${NOBODY.length}`], NOBODY);
      assertProblem(await sendRaw(server.port, sent), 415, 'unsupported_media_type', type);
    }
    for (const encoding of ['gzip', 'identity', 'br, gzip', '']) {
      const sent = rawPost(LOGIN, NOBODY, [`Content-Encoding: ${encoding}`]);
      assertProblem(await sendRaw(server.port, sent), 415, 'unsupported_media_type', encoding);
    }
    assertProblem(await sendRaw(server.port, rawRequest(`POST ${LOGIN}`)), 415, 'unsupported_media_type', 'nothing');
    const empty = rawRequest(`POST ${LOGIN}`, ['Content-Type: application/json']);
    assertProblem(await sendRaw(server.port, empty), 400, 'invalid_json', 'no body at all');
    const notUtf8 = ['"\xe9"', '\xff', '{"a":"\xc3"}', '"\xc0\xaf"', '"\xed\xa0\x80"'];
    for (const body of ['', ' ', '{', '[1,]', '{"a":1}x', "{'a':1}", 'NaN', '\xef\xbb\xbf{}', ...notUtf8]) {
      const fields = ['Content-Type: application/json', `Content-Length: ${body.length}`];
      const sent = rawRequest(`POST ${LOGIN}`, fields, body);
      assertProblem(await sendRaw(server.port, Buffer.from(sent, 'latin1')), 400, 'invalid_json', body);
    }
  });

  test('nothing of all this has harmed the server', async () => {
    assert.equal((await server.call('GET', PING)).status, 200);
    assert.deepEqual(server.log().filter(({ level, status }) => level === 'error' || status === 500), []);
  });
});

/** A few at a time: a pile of connections at once would only wait for each other. */
async function inTurn<T>(items: readonly T[], each: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += 8) await Promise.all(items.slice(i, i + 8).map(each));
}
