import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import path from 'node:path';

import { otherProcess } from '../db/other_process.ts';
import type { Answer } from '../helpers/server.ts';
import { idOf, logIn, me, outcome, refresh, story, storyOfFile } from './story.ts';

story('the server says that it lives, is ready, and hello', {}, async (server) => {
  for (const [target, json] of [
    ['/healthz', { status: 'ok' }],
    ['/readyz', { status: 'ok' }],
    ['/api/v1/public/ping', { status: 'ok' }],
  ] as const) {
    const answer = await server.call('GET', target);
    const { parts, ...rest } = answer.json;
    assert.deepEqual([answer.status, rest], [200, json]);
    if (target === '/readyz') assert.deepEqual([parts.database, parts.draining], ['ok', 'no']);
    const head = await server.call('HEAD', target);
    assert.deepEqual([head.status, head.text], [200, '']);
    assert.equal(head.headers['content-length'], answer.headers['content-length']);
    assert.equal((await server.call('POST', target)).headers['allow'], 'GET, HEAD, OPTIONS');
  }
});

story('health is not limited, hello is', { RATE_LIMIT_DEFAULT: '2/60s' }, async (server) => {
  for (let i = 0; i < 5; i++) {
    for (const target of ['/healthz', '/readyz']) {
      const { status, headers } = await server.call('GET', target);
      assert.deepEqual([status, headers['ratelimit']], [200, undefined]);
    }
  }
  const pings = [];
  for (let i = 0; i < 3; i++) pings.push(outcome(await server.call('GET', '/api/v1/public/ping')));
  assert.deepEqual(pings, ['200', '200', '429 rate_limited']);
});

storyOfFile('without its database the server lives, is not ready and says which part is away', {}, async (server) => {
  const file = path.join(server.folder, 'app.db');
  renameSync(file, `${file}.away`);
  const answer = await server.call('GET', '/readyz');
  assert.equal(outcome(answer), '503 unavailable');
  assert.deepEqual([answer.json.parts.database, answer.json.parts.draining], ['away', 'no']);
  assert.ok(Number(answer.headers['retry-after']) >= 1);
  assert.equal((await server.call('GET', '/healthz')).status, 200);
  renameSync(`${file}.away`, file);
  assert.equal((await server.call('GET', '/readyz')).status, 200);
});

storyOfFile('while another process holds the database, writes are 503 and all else is served', {}, async (server) => {
  const pair = await server.login();
  const admin = await server.loginAdmin();
  const other = await otherProcess(path.join(server.folder, 'app.db'), 'BEGIN EXCLUSIVE');
  const token = pair.access_token;
  const account = { email: 'bob@example.com', password: 'pass' };
  const writes = (): Promise<Answer>[] => [
    server.call('POST', '/api/v1/auth/register', { body: account }),
    logIn(server, 'ada@example.com', 'correct horse'),
    refresh(server, pair),
    server.call('PATCH', '/api/v1/users/me', { token, body: { full_name: 'Ada' } }),
    server.call('DELETE', `/api/v1/users/${idOf(pair)}`, { token: admin.access_token }),
    server.call('POST', '/api/v1/auth/logout-all', { token }),
  ];
  let waiting = true;
  const refused = Promise.all(writes()).finally(() => (waiting = false));
  let served = 0;
  while (waiting) {
    const answers = [await me(server, pair), await server.call('GET', '/api/v1/users', { token: admin.access_token })];
    assert.deepEqual(answers.map(outcome), ['200', '200']);
    assert.equal(outcome(await logIn(server, 'ada@example.com', 'wrong')), '401 invalid_credentials');
    served++;
  }
  assert.ok(served > 1);
  for (const answer of await refused) {
    assert.equal(outcome(answer), '503 unavailable');
    assert.match(answer.headers['retry-after']!, /^[1-9]\d*$/);
    assert.ok(!/sqlite|locked|database is/i.test(answer.text));
  }
  await other.release();
  assert.equal(outcome(await refresh(server, pair)), '200', 'the refused refresh took nothing');
  assert.equal(outcome(await server.call('POST', '/api/v1/auth/register', { body: account })), '201');
});

story('the root leads to the documentation, and both can be left out', {}, async (server) => {
  const root = await server.call('GET', '/');
  assert.deepEqual([root.status, root.headers['location']], [307, '/docs']);
  assert.equal((await server.call('GET', '/docs')).status, 200);
  const { status, json } = await server.call('GET', '/openapi.json');
  assert.deepEqual([status, json.openapi.slice(0, 3)], [200, '3.1']);
});

story('DOCS_ENABLED=false leaves nothing to read', { DOCS_ENABLED: 'false' }, async (server) => {
  for (const target of ['/docs', '/openapi.json']) {
    assert.equal(outcome(await server.call('GET', target)), '404 not_found');
  }
  assert.equal((await server.call('GET', '/healthz')).status, 200);
});

story('every route of the contract is in the document, with its refusals', {}, async (server) => {
  const { json } = await server.call('GET', '/openapi.json');
  const routes: [route: string, statuses: number[]][] = [
    ['post /api/v1/auth/register', [201, 400, 409, 413, 415, 422, 429, 503]],
    ['post /api/v1/auth/login', [200, 400, 401, 403, 422, 429, 503]],
    ['post /api/v1/auth/refresh', [200, 401, 422, 429, 503]],
    ['post /api/v1/auth/logout', [204, 401, 422, 429, 503]],
    ['post /api/v1/auth/logout-all', [204, 401, 429, 503]],
    ['post /api/v1/auth/password', [204, 401, 422, 429, 503]],
    ['get /api/v1/users/me', [200, 401, 429, 503]],
    ['patch /api/v1/users/me', [200, 401, 422, 429, 503]],
    ['get /api/v1/users/me/sessions', [200, 401, 429, 503]],
    ['delete /api/v1/users/me/sessions/{id}', [204, 400, 401, 404, 429, 503]],
    ['get /api/v1/users', [200, 400, 401, 403, 429, 503]],
    ['get /api/v1/users/{id}', [200, 400, 401, 403, 404, 429, 503]],
    ['patch /api/v1/users/{id}', [200, 400, 401, 403, 404, 409, 422, 429, 503]],
    ['delete /api/v1/users/{id}', [204, 400, 401, 403, 404, 409, 429, 503]],
    ['get /api/v1/admin/secret', [200, 401, 403, 429]],
    ['get /api/v1/public/ping', [200, 429]],
    ['get /healthz', [200]],
    ['get /readyz', [200, 503]],
    ['get /docs', [200]],
    ['get /openapi.json', [200]],
    ['get /', [307]],
  ];
  for (const [route, statuses] of routes) {
    const [method, target] = route.split(' ') as [string, string];
    const declared = Object.keys(json.paths[target]?.[method]?.responses ?? {});
    for (const status of statuses) assert.ok(declared.includes(String(status)), `${route} does not declare ${status}`);
  }
});
