import assert from 'node:assert/strict';

import type { TestServer } from '../helpers/server.ts';
import { assertEnded, claimsOf, idOf, logIn, me, outcome, refreshed, story } from './story.ts';
import type { Pair } from './story.ts';

const ME = '/api/v1/users/me';
const SESSIONS = `${ME}/sessions`;
const patchMe = (server: TestServer, { access_token: token }: Pair, body: unknown) =>
  server.call('PATCH', ME, { token, body });
const sidOf = ({ access_token: token }: Pair): string => claimsOf(token)['sid'];

async function sessionsOf(server: TestServer, { access_token: token }: Pair): Promise<any[]> {
  const { status, json } = await server.call('GET', SESSIONS, { token });
  assert.equal(status, 200);
  return json.items;
}

story('a name is set, cleared and kept', {}, async (server) => {
  const pair = await server.login();
  const { json: before } = await me(server, pair);
  server.clock.advance(1_000);
  const steps: [body: object, full_name: string | null, updated_at: string][] = [
    [{ full_name: 'Ada' }, 'Ada', '2026-01-31T12:00:01.250Z'],
    [{}, 'Ada', '2026-01-31T12:00:01.250Z'],
    [{ full_name: '🦆'.repeat(200) }, '🦆'.repeat(200), '2026-01-31T12:00:03.250Z'],
    [{ full_name: null }, null, '2026-01-31T12:00:04.250Z'],
    [{}, null, '2026-01-31T12:00:04.250Z'],
    [{ full_name: '' }, '', '2026-01-31T12:00:06.250Z'],
  ];
  for (const [body, full_name, updated_at] of steps) {
    const { status, json } = await patchMe(server, pair, body);
    assert.equal(status, 200);
    assert.deepEqual(json, { ...before, full_name, updated_at });
    assert.deepEqual((await me(server, pair)).json, json);
    server.clock.advance(1_000);
  }
  const same = { full_name: 'Ada' };
  const [once, twice] = [await patchMe(server, pair, same), await patchMe(server, pair, same)];
  assert.deepEqual(twice.json, once.json, 'a patch may be sent again');
});

story('nobody changes more of the own account than its name', {}, async (server) => {
  const pair = await server.login();
  const { json: before } = await me(server, pair);
  const bodies: [body: unknown, pointers: string[]][] = [
    [{ role: 'admin' }, ['/role']],
    [{ full_name: 'x', is_active: false, email: 'b@a.com', id: 'x' }, ['/email', '/id', '/is_active']],
    [{ full_name: 1, __proto__x: 1 }, ['/__proto__x', '/full_name']],
    ['{"__proto__": {"role": "admin"}}', ['/__proto__']],
    ['{"constructor": 1, "toString": 2}', ['/constructor', '/toString']],
    [{ full_name: '🦆'.repeat(201) }, ['/full_name']],
    [[], ['']],
  ];
  for (const [body, pointers] of bodies) {
    const answer = await patchMe(server, pair, body);
    assert.equal(outcome(answer), '422 validation_failed');
    assert.deepEqual(answer.json.errors.map(({ pointer }: { pointer: string }) => pointer).sort(), pointers);
  }
  assert.deepEqual((await me(server, pair)).json, before);
});

story('every route of a user asks for a token, and says how', {}, async (server) => {
  const routes: [method: string, target: string, body?: unknown][] = [
    ['GET', ME],
    ['PATCH', ME, {}],
    ['GET', SESSIONS],
    ['DELETE', `${SESSIONS}/0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21`],
    ['POST', '/api/v1/auth/logout-all'],
    ['POST', '/api/v1/auth/password', { current_password: 'a', new_password: 'abcd' }],
    ['GET', '/api/v1/users'],
    ['GET', '/api/v1/users/0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21'],
    ['PATCH', '/api/v1/users/0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21', {}],
    ['DELETE', '/api/v1/users/0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21'],
    ['GET', '/api/v1/admin/secret'],
  ];
  for (const [method, target, body] of routes) {
    const options = body === undefined ? {} : { body };
    const without = await server.call(method, target, options);
    assert.equal(outcome(without), '401 not_authenticated', target);
    assert.match(without.headers['www-authenticate']!, /^Bearer realm="[^"]+"$/);
    for (const Authorization of ['Bearer', 'Bearer x', 'bearer x.y.z', `Bearer ${'x'.repeat(5000)}`]) {
      const wrong = await server.call(method, target, { ...options, headers: { Authorization } });
      assert.equal(outcome(wrong), '401 invalid_token', `${target} ${Authorization}`);
      assert.match(wrong.headers['www-authenticate']!, /^Bearer .*error="invalid_token"/);
    }
    const basic = await server.call(method, target, { ...options, headers: { Authorization: 'Basic YTpi' } });
    assert.equal(outcome(basic), '401 not_authenticated');
  }
});

story(
  'the live sessions are listed newest first, with what is known of each',
  { TRUST_PROXY: '127.0.0.1' },
  async (server) => {
    const logInFrom = async (ip: string, agent: string | undefined): Promise<Pair> => {
      const headers = { 'X-Forwarded-For': ip, ...(agent === undefined ? {} : { 'User-Agent': agent }) };
      const body = { email: 'ada@example.com', password: 'correct horse' };
      return (await server.call('POST', '/api/v1/auth/login', { body, headers })).json;
    };
    const zero = await server.login();
    await server.call('POST', '/api/v1/auth/logout-all', { token: zero.access_token });
    const first = await logInFrom('192.0.2.1', 'first/1.0');
    server.clock.advance(60_000);
    const second = await logInFrom('2001:db8::7', undefined);
    server.clock.advance(60_000);
    await me(server, first);
    const common = { current: false, user_agent: null };
    const [a, b] = [
      { ...common, id: sidOf(first), ip: '192.0.2.1', user_agent: 'first/1.0', created_at: '2026-01-31T12:00:00.250Z',
        last_used_at: '2026-01-31T12:00:00.250Z', expires_at: '2026-03-02T12:00:00.000Z' },
      { ...common, id: sidOf(second), ip: '2001:db8::7', created_at: '2026-01-31T12:01:00.250Z',
        last_used_at: '2026-01-31T12:01:00.250Z', expires_at: '2026-03-02T12:01:00.000Z' },
    ];
    assert.deepEqual(await sessionsOf(server, first), [b, { ...a, current: true }]);
    assert.deepEqual(await sessionsOf(server, second), [{ ...b, current: true }, a]);
    const next = await refreshed(server, first);
    const used = { ...a, last_used_at: '2026-01-31T12:02:00.250Z' };
    assert.deepEqual(await sessionsOf(server, next), [b, { ...used, current: true }]);
  },
);

story('without rotation a refresh moves last_used_at, too', { REFRESH_TOKEN_ROTATION: 'false' }, async (server) => {
  const pair = await server.login();
  server.clock.advance(60_000);
  await refreshed(server, pair);
  assert.equal((await sessionsOf(server, pair))[0].last_used_at, '2026-01-31T12:01:00.250Z');
});

story('a session is ended by its owner, once, and by nobody else', {}, async (server) => {
  const [here, there] = [await server.login(), await server.login()];
  const other = await server.login('bob@example.com');
  const end = (pair: Pair, id: string) => server.call('DELETE', `${SESSIONS}/${id}`, { token: pair.access_token });
  assert.equal(outcome(await end(other, sidOf(there))), '404 not_found');
  assert.equal(outcome(await end(here, sidOf(other))), '404 not_found');
  assert.equal(outcome(await end(here, idOf(here))), '404 not_found');
  for (const id of ['x', '1', '%00', `${sidOf(there)}x`, "'--"]) {
    assert.equal(outcome(await end(here, encodeURIComponent(id))), '400 invalid_parameter', id);
  }
  assert.equal((await me(server, there)).status, 200);
  assert.equal(outcome(await end(here, sidOf(there).toUpperCase())), '204');
  await assertEnded(server, there);
  assert.equal(outcome(await end(here, sidOf(there))), '404 not_found');
  assert.equal((await sessionsOf(server, here)).length, 1);
  assert.equal(outcome(await end(here, sidOf(here))), '204');
  await assertEnded(server, here);
  assert.equal((await me(server, other)).status, 200);
});

story(
  'an expired session is neither listed nor there to be ended',
  { REFRESH_TOKEN_TTL: '1h', ACCESS_TOKEN_TTL: '2h' },
  async (server) => {
    const old = await server.login();
    server.clock.advance(3_000_000);
    const pair = await server.login();
    server.clock.advance(600_000);
    await assertEnded(server, old);
    assert.deepEqual((await sessionsOf(server, pair)).map(({ id }) => id), [sidOf(pair)]);
    const { status } = await server.call('DELETE', `${SESSIONS}/${sidOf(old)}`, { token: pair.access_token });
    assert.equal(status, 404);
  },
);

story('a hundred sessions live, and one more ends the oldest, within one moment or another', {}, async (server) => {
  const first = await server.login();
  server.clock.advance(1);
  for (let i = 0; i < 99; i++) assert.equal((await logIn(server, 'ada@example.com', 'correct horse')).status, 200);
  assert.equal((await sessionsOf(server, first)).length, 100);
  const pairs: Pair[] = [];
  for (let i = 0; i < 3; i++) {
    const { json } = await logIn(server, 'ada@example.com', 'correct horse');
    pairs.push(json);
    if (i === 0) await assertEnded(server, first);
    assert.equal((await me(server, json)).status, 200, 'a new session is never the one that ends');
    assert.equal((await sessionsOf(server, json)).length, 100);
    server.clock.advance(1);
  }
  const ids = (await sessionsOf(server, pairs[2]!)).map(({ id }) => id);
  assert.deepEqual(ids.slice(0, 2), pairs.slice(1).map(sidOf).reverse());
});
