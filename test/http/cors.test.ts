import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

const PING = '/api/v1/public/ping';
const ME = '/api/v1/users/me';
const HERE = 'https://here.example';
const PREFLIGHT = { 'Access-Control-Request-Method': 'PATCH', 'Access-Control-Request-Headers': 'authorization' };

async function withServer(origins: string | undefined, story: (server: TestServer) => Promise<void>): Promise<void> {
  const server = await startServer(origins === undefined ? {} : { CORS_ORIGINS: origins });
  try {
    await story(server);
  } finally {
    await server.close();
  }
}

/** The header fields of an answer that are about origins. */
async function corsOf(server: TestServer, method: string, path: string, headers: Record<string, string>) {
  const answer = await server.call(method, path, { headers });
  const fields = Object.entries(answer.headers).filter(([name]) => /^(access-control-|vary$)/.test(name));
  return { status: answer.status, ...Object.fromEntries(fields) };
}

const EXPOSED = 'X-Request-Id, RateLimit, RateLimit-Policy, Retry-After';
const preflightOf = (allow: string) => ({
  'access-control-allow-methods': allow,
  'access-control-allow-headers': 'Authorization, Content-Type, X-Request-Id, traceparent, tracestate',
  'access-control-max-age': '600',
});

test('without CORS_ORIGINS no answer speaks of origins', () =>
  withServer(undefined, async (server) => {
    assert.deepEqual(await corsOf(server, 'GET', PING, { Origin: HERE }), { status: 200 });
    assert.deepEqual(await corsOf(server, 'OPTIONS', ME, { Origin: HERE, ...PREFLIGHT }), { status: 204 });
  }));

test('an origin of the list is allowed by name, another is not, and caches are told that it matters', () =>
  withServer(`${HERE}, http://localhost:3000`, async (server) => {
    for (const origin of [HERE, 'http://localhost:3000']) {
      const allowed = {
        ...{ 'vary': 'Origin', 'access-control-allow-origin': origin },
        'access-control-expose-headers': EXPOSED,
      };
      assert.deepEqual(await corsOf(server, 'GET', PING, { Origin: origin }), { status: 200, ...allowed });
      assert.deepEqual(await corsOf(server, 'GET', ME, { Origin: origin }), { status: 401, ...allowed });
      assert.deepEqual(await corsOf(server, 'GET', '/nothing', { Origin: origin }), { status: 404, ...allowed });
      assert.deepEqual(await corsOf(server, 'PUT', ME, { Origin: origin }), { status: 405, ...allowed });
      assert.deepEqual(await corsOf(server, 'OPTIONS', ME, { Origin: origin, ...PREFLIGHT }), {
        ...{ status: 204, ...allowed },
        ...preflightOf('GET, HEAD, PATCH, OPTIONS'),
      });
      const plain = await corsOf(server, 'OPTIONS', ME, { Origin: origin });
      assert.deepEqual(plain, { status: 204, ...allowed }, 'no preflight');
    }
    const others = [
      ...['https://there.example', 'https://HERE.example', `${HERE}:443`, `${HERE}/`, 'https://sub.here.example'],
      ...['https://here.example.evil', 'http://here.example', 'null', '*', ''],
    ];
    for (const origin of others) {
      const vary = 'Origin';
      assert.deepEqual(await corsOf(server, 'GET', PING, { Origin: origin }), { status: 200, vary }, origin);
      const preflight = await corsOf(server, 'OPTIONS', ME, { Origin: origin, ...PREFLIGHT });
      assert.deepEqual(preflight, { status: 204, vary }, origin);
    }
    assert.deepEqual(await corsOf(server, 'GET', PING, {}), { status: 200, vary: 'Origin' });
  }));

test('with * everyone is allowed, and nobody with credentials', () =>
  withServer('*', async (server) => {
    const allowed = { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED };
    for (const origin of [HERE, 'null']) {
      assert.deepEqual(await corsOf(server, 'GET', PING, { Origin: origin }), { status: 200, ...allowed });
      assert.deepEqual(await corsOf(server, 'OPTIONS', PING, { Origin: origin, ...PREFLIGHT }), {
        ...{ status: 204, ...allowed },
        ...preflightOf('GET, HEAD, OPTIONS'),
      });
    }
    assert.deepEqual(await corsOf(server, 'GET', PING, {}), { status: 200 });
    assert.equal((await corsOf(server, 'OPTIONS', '/nothing', { Origin: HERE, ...PREFLIGHT })).status, 404);
  }));
