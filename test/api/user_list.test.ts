import assert from 'node:assert/strict';

import { ADMIN } from '../helpers/server.ts';
import type { Answer, TestServer } from '../helpers/server.ts';
import { openDesk, USERS } from './desk.ts';
import type { Desk } from './desk.ts';
import { outcome, story } from './story.ts';

const NOBODY = '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21';

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

story('pages are newest first, hold each user once, and end with null', {}, async (server) => {
  const emails = Array.from({ length: 25 }, (_, i) => `user${i}@example.com`);
  await register(server, emails);
  const desk = await openDesk(server);
  const newest = [...emails.reverse(), ADMIN.email];
  for (const [limit, pages] of [[20, 2], [1, 26], [13, 2], [26, 1], [100, 1]] as const) {
    const query = `limit=${limit}`;
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
    ...['limit=1&limit=1', 'role=root', 'role=', 'role=Admin', 'q=', 'fields=', 'fields=password_hash'],
    ...['fields=id,,email', 'fields=id,', 'offset=1', 'Limit=1', '__proto__=1', 'cursor='],
    ...['limit=%ff', 'q=a&q=b', '=1', '&', 'q=%00'],
    ...[`q=${'x'.repeat(255)}`, 'limit=99999999999999999999', 'limit=+1', 'limit=1%20'],
  ];
  for (const query of wrong) {
    const answer = await get(`${USERS}?${query}`);
    assert.equal(answer.status, 400, query);
    assert.notEqual(answer.json.code, 'invalid_cursor', query);
  }
  const cursors = ['x', '0', NOBODY, `${cursor}A`, cursor.slice(1), `${cursor}%3D`, `%20${cursor}`];
  cursors.push('x'.repeat(2000), '%F0%9F%A6%86');
  for (const tampered of [...cursors, 'A'.repeat(22), `${cursor.slice(0, -1)}${other}`.replace(/.$/, '_')]) {
    assert.equal(outcome(await get(`${USERS}?cursor=${tampered}`)), '400 invalid_cursor', tampered);
  }
});
