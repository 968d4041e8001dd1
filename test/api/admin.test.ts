import assert from 'node:assert/strict';

import type { Answer } from '../helpers/server.ts';
import { openDesk, USERS } from './desk.ts';
import type { Desk } from './desk.ts';
import { assertEnded, idOf, me, outcome, story } from './story.ts';
import type { Pair } from './story.ts';

const NOBODY = '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21';

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
  const gone = [await remove(id), await get(`${USERS}/${id}`), await patch(id, {}), await patch(id, { role: 'user' })];
  for (const answer of gone) {
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
    [{ role: 'root', is_active: 'false', full_name: 7 }, ['/full_name', '/is_active', '/role']],
    [{ role: '', email: 'b@a.com' }, ['/email', '/role']],
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
