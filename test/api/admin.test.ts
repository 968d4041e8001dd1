import assert from 'node:assert/strict';

import { ADMIN } from '../helpers/server.ts';
import type { Answer, TestServer } from '../helpers/server.ts';
import { assertEnded, idOf, me, outcome, story } from './story.ts';
import type { Pair } from './story.ts';

const USERS = '/api/v1/users';
const NOBODY = '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21';

interface Desk {
  admin: Pair;
  get(target: string): Promise<Answer>;
  patch(id: string, body: unknown, by?: Pair): Promise<Answer>;
  remove(id: string, by?: Pair): Promise<Answer>;
}

async function openDesk(server: TestServer): Promise<Desk> {
  const admin = await server.loginAdmin();
  return {
    admin,
    get: (target) => server.call('GET', target, { token: admin.access_token }),
    patch: (id, body, by = admin) => server.call('PATCH', `${USERS}/${id}`, { token: by.access_token, body }),
    remove: (id, by = admin) => server.call('DELETE', `${USERS}/${id}`, { token: by.access_token }),
  };
}

async function register(server: TestServer, emails: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const email of emails) {
    server.clock.advance(1);
    const { json } = await server.call('POST', '/api/v1/auth/register', { body: { email, password: 'pass' } });
    ids.push(json.id);
  }
  return ids;
}

/** All pages behind a target, and how many they were. */
async function walk({ get }: Desk, query: string, between: () => Promise<unknown> = async () => {}) {
  const items: any[] = [];
  let cursor: string | null = null;
  let pages = 0;
  do {
    const { status, json }: Answer = await get(`${USERS}?${query}${cursor === null ? '' : `&cursor=${cursor}`}`);
    assert.equal(status, 200);
    items.push(...json.items);
    cursor = json.next_cursor;
    pages++;
    await between();
  } while (cursor !== null);
  return { items, pages };
}

story('what is for administrators is refused to everyone else', {}, async (server) => {
  const { access_token: token } = await server.login();
  const { get } = await openDesk(server);
  const routes = [
    ['GET', '/api/v1/admin/secret'],
    ['GET', USERS],
    ['GET', `${USERS}?limit=nonsense`],
    ['GET', `${USERS}/${NOBODY}`],
    ['PATCH', `${USERS}/${NOBODY}`],
    ['DELETE', `${USERS}/${NOBODY}`],
  ] as const;
  for (const [method, target] of routes) {
    const answer = await server.call(method, target, { token });
    assert.equal(outcome(answer), '403 forbidden', target);
    assert.match(answer.headers['www-authenticate']!, /^Bearer .*error="insufficient_scope"/);
  }
  const { status, json } = await get('/api/v1/admin/secret');
  assert.equal(status, 200);
  assert.equal(typeof json.secret, 'string');
});

story('a change of role shows on the next request', {}, async (server) => {
  const { patch } = await openDesk(server);
  const pair = await server.login();
  const secret = () => server.call('GET', '/api/v1/admin/secret', { token: pair.access_token });
  for (const [role, expected] of [['admin', '200'], ['user', '403 forbidden'], ['admin', '200']] as const) {
    assert.equal(outcome(await patch(idOf(pair), { role })), '200');
    assert.equal(outcome(await secret()), expected);
    assert.equal((await me(server, pair)).json.role, role);
  }
});

story('pages are newest first, hold each user once, and end with null', {}, async (server) => {
  const emails = Array.from({ length: 25 }, (_, i) => `user${i}@example.com`);
  await register(server, emails);
  const desk = await openDesk(server);
  const newest = [...emails.reverse(), ADMIN.email];
  for (const [query, pages] of [['limit=20', 2], ['limit=1', 26], ['limit=13', 2], ['limit=26', 1], ['limit=100', 1]] as const) {
    const walked = await walk(desk, query);
    assert.deepEqual(walked.items.map(({ email }) => email), newest, query);
    assert.equal(walked.pages, pages, query);
  }
});

story('a walk is not disturbed by users who come and go', {}, async (server) => {
  const emails = Array.from({ length: 20 }, (_, i) => `user${i}@example.com`);
  const ids = await register(server, emails);
  const desk = await openDesk(server);
  let round = 0;
  const { items } = await walk(desk, 'limit=4', async () => {
    await register(server, [`new${round++}@example.com`]);
    await desk.remove(ids[20 - 4 * round]!);
  });
  const listed = items.map(({ id }) => id);
  assert.equal(new Set(listed).size, listed.length);
  assert.deepEqual(listed.filter((id) => ids.includes(id)), [...ids].reverse());
  assert.ok(!items.some(({ email }) => email.startsWith('new')));
});

story('a list is filtered by role and by the beginning of the address, taken literally', {}, async (server) => {
  const emails = ['ann@a.com', 'Anna@a.com', 'a_n@a.com', 'a%n@a.com', 'bob@a.com', 'an+x@a.com', 'o\'neil@a.com'];
  const ids = await register(server, emails);
  const desk = await openDesk(server);
  await desk.patch(ids[4]!, { role: 'admin' });
  const found = async (query: string) => (await walk(desk, `limit=2&${query}`)).items.map(({ email }) => email);
  const cases: [query: string, emails: string[]][] = [
    ['q=ann', ['Anna@a.com', 'ann@a.com']],
    ['q=ANN', ['Anna@a.com', 'ann@a.com']],
    ['q=ann%40', ['ann@a.com']],
    ['q=a_', ['a_n@a.com']],
    ['q=a%25', ['a%n@a.com']],
    ['q=%25', []],
    ['q=_', []],
    ['q=*', []],
    ['q=an%2Bx', ['an+x@a.com']],
    ["q=o'neil", ["o'neil@a.com"]],
    ["q='%20OR%201=1--", []],
    ['q=n', []],
    ['q=%C3%A9', []],
    ['role=admin', ['bob@a.com', ADMIN.email]],
    ['role=admin&q=b', ['bob@a.com']],
    ['role=user&q=b', []],
    ['q=a&role=user', ["an+x@a.com", 'a%n@a.com', 'a_n@a.com', 'Anna@a.com', 'ann@a.com']],
  ];
  for (const [query, expected] of cases) assert.deepEqual(await found(query), expected, query);
});

story('fields is a projection', {}, async (server) => {
  const { get } = await openDesk(server);
  const all = ['id', 'email', 'email_verified', 'full_name', 'role', 'is_active', 'created_at', 'updated_at'];
  const cases: [fields: string, names: string[]][] = [
    ['id,email', ['id', 'email']],
    ['email', ['email']],
    ['full_name', ['full_name']],
    [all.join(','), all],
  ];
  for (const [fields, names] of cases) {
    const { json } = await get(`${USERS}?fields=${fields}`);
    assert.deepEqual(Object.keys(json.items[0]).sort(), [...names].sort());
  }
  assert.deepEqual(Object.keys((await get(USERS)).json.items[0]).sort(), all.sort());
});

story('a query that is not understood is refused, not guessed at', {}, async (server) => {
  await register(server, ['a@a.com', 'b@a.com']);
  const { get } = await openDesk(server);
  const { json } = await get(`${USERS}?limit=1`);
  const cursor: string = json.next_cursor;
  const other = cursor[0] === 'A' ? 'B' : 'A';
  const wrong = [
    ...['limit=0', 'limit=101', 'limit=-1', 'limit=abc', 'limit=1.5', 'limit=', 'limit', 'limit=1e1', 'limit=0x10'],
    ...['limit=1&limit=1', 'role=root', 'role=', 'role=Admin', 'q=', 'fields=', 'fields=password_hash', 'fields=id,,email'],
    ...['fields=id,', 'offset=1', 'Limit=1', '__proto__=1', 'cursor=', 'limit=%ff', 'q=a&q=b', '=1', '&', 'q=%00'],
    ...[`q=${'x'.repeat(255)}`, 'limit=99999999999999999999', 'limit=+1', 'limit=1%20'],
  ];
  for (const query of wrong) {
    const answer = await get(`${USERS}?${query}`);
    assert.equal(answer.status, 400, query);
    assert.notEqual(answer.json.code, 'invalid_cursor', query);
  }
  const cursors = ['x', '0', NOBODY, `${cursor}A`, cursor.slice(1), `${cursor}%3D`, `%20${cursor}`, 'x'.repeat(2000), '%F0%9F%A6%86'];
  for (const tampered of [...cursors, 'A'.repeat(22), `${cursor.slice(0, -1)}${other}`.replace(/.$/, '_')]) {
    assert.equal(outcome(await get(`${USERS}?cursor=${tampered}`)), '400 invalid_cursor', tampered);
  }
});

story('a user is read, changed and deleted by id', {}, async (server) => {
  const { get, patch, remove } = await openDesk(server);
  const pair = await server.login();
  const id = idOf(pair);
  const { json: before } = await get(`${USERS}/${id}`);
  assert.deepEqual(before, (await me(server, pair)).json);
  assert.deepEqual((await get(`${USERS}/${id.toUpperCase()}`)).json, before);
  server.clock.advance(1_000);
  const unchanged = await patch(id, {});
  assert.deepEqual([unchanged.status, unchanged.json], [200, before]);
  const steps = [
    { full_name: 'Ada' },
    { role: 'admin' },
    { full_name: null },
    { is_active: false },
    { is_active: true, role: 'user', full_name: 'A' },
  ];
  let expected = before;
  for (const body of steps) {
    for (let again = 0; again < 2; again++) {
      const answer = await patch(id, body);
      expected = { ...expected, ...body, updated_at: '2026-01-31T12:00:01.250Z' };
      assert.deepEqual([answer.status, answer.json], [200, expected]);
      assert.deepEqual((await get(`${USERS}/${id}`)).json, expected);
    }
  }
  assert.equal(outcome(await remove(id)), '204');
  for (const answer of [await remove(id), await get(`${USERS}/${id}`), await patch(id, {}), await patch(id, { role: 'user' })]) {
    assert.equal(outcome(answer), '404 not_found');
  }
  for (const bad of ['1', 'x', `${id}0`, '%00', NOBODY.replaceAll('-', '')]) {
    for (const answer of [await get(`${USERS}/${bad}`), await patch(bad, {}), await remove(bad)]) {
      assert.equal(outcome(answer), '400 invalid_parameter', bad);
    }
  }
});

story('every fault of a change is named and nothing is changed', {}, async (server) => {
  const { get, patch } = await openDesk(server);
  const id = idOf(await server.login());
  const { json: before } = await get(`${USERS}/${id}`);
  const cases: [body: unknown, pointers: string[]][] = [
    [{ role: 'root', is_active: 'false', full_name: 7, email: 'b@a.com' }, ['/email', '/full_name', '/is_active', '/role']],
    [{ role: null, is_active: null }, ['/is_active', '/role']],
    [{ is_active: 0 }, ['/is_active']],
    [{ role: ['admin'] }, ['/role']],
    [{ full_name: 'Ada', password: 'x' }, ['/password']],
    [{ email_verified: true, id: NOBODY, created_at: '' }, ['/created_at', '/email_verified', '/id']],
  ];
  for (const [body, pointers] of cases) {
    const answer = await patch(id, body);
    assert.equal(outcome(answer), '422 validation_failed');
    assert.deepEqual(answer.json.errors.map(({ pointer }: { pointer: string }) => pointer).sort(), pointers);
  }
  assert.deepEqual((await get(`${USERS}/${id}`)).json, before);
});

const ways: [what: string, attempt: (desk: Desk, id: string, by?: Pair) => Promise<Answer>][] = [
  ['demoted', ({ patch }, id, by) => patch(id, { role: 'user' }, by)],
  ['disabled', ({ patch }, id, by) => patch(id, { is_active: false }, by)],
  ['deleted', ({ remove }, id, by) => remove(id, by)],
];
for (const [what, attempt] of ways) {
  story(`the last active administrator is not ${what}`, {}, async (server) => {
    const desk = await openDesk(server);
    const disabled = idOf(await server.login());
    await desk.patch(disabled, { role: 'admin', is_active: false });
    const { json: before } = await me(server, desk.admin);
    assert.equal(outcome(await attempt(desk, idOf(desk.admin))), '409 last_admin');
    assert.deepEqual((await me(server, desk.admin)).json, before);
    assert.equal(outcome(await desk.patch(idOf(desk.admin), { full_name: 'Root', role: 'admin' })), '200');
    await desk.patch(disabled, { is_active: true });
    assert.ok((await attempt(desk, idOf(desk.admin))).status < 300);
    if (what !== 'demoted') await assertEnded(server, desk.admin);
  });

  story(`of two administrators who are ${what} by each other at once one is left`, {}, async (server) => {
    const desk = await openDesk(server);
    for (let round = 0; round < 5; round++) {
      const email = `rival${round}@example.com`;
      const rival = await server.login(email);
      await desk.patch(idOf(rival), { role: 'admin' });
      const two = [desk.admin, rival];
      const answers = await Promise.all([
        attempt(desk, idOf(rival), desk.admin),
        attempt(desk, idOf(desk.admin), rival),
      ]);
      assert.ok(answers.some(({ status }) => status < 300));
      const left = [];
      for (const pair of two) {
        const answer = await server.call('GET', '/api/v1/admin/secret', { token: pair.access_token });
        if (answer.status === 200) left.push(pair);
      }
      assert.equal(left.length, 1, answers.map(outcome).join(', '));
      if (left[0] !== desk.admin) return;
    }
  });
}

story('changes of different fields at the same moment all stay', {}, async (server) => {
  const { get, patch } = await openDesk(server);
  for (let round = 0; round < 10; round++) {
    const id = idOf(await server.login(`user${round}@example.com`));
    const bodies = [{ is_active: false }, { full_name: 'Ada' }, { role: 'admin' }];
    const answers = await Promise.all(bodies.map((body) => patch(id, body)));
    assert.deepEqual(answers.map(outcome), ['200', '200', '200']);
    const { full_name, role, is_active } = (await get(`${USERS}/${id}`)).json;
    assert.deepEqual({ full_name, role, is_active }, { full_name: 'Ada', role: 'admin', is_active: false });
  }
});
