import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADMIN, startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

const email = 'ada@example.com';
const password = 'correct horse';

/** The security events logged while `act` ran, without when and which request. */
async function eventsOf(server: TestServer, act: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
  const before = server.log().length;
  await act();
  return server.log().slice(before).filter(({ event }) => event !== undefined)
    .map(({ time, request_id: requestId, trace_id: traceId, msg, ...rest }) => {
      assert.ok(time && requestId && traceId && msg);
      return rest;
    });
}

test('every act on accounts and sessions is an event that says who, to whom and from where', async () => {
  const server = await startServer();
  try {
    const call = (method: string, target: string, body?: unknown, token?: string) =>
      server.call(method, target, { body, token });
    const login = (secret: string) => call('POST', '/api/v1/auth/login', { email, password: secret });
    const { access_token: admin } = await server.loginAdmin();
    const me = await call('GET', '/api/v1/users/me', undefined, admin);
    const adminId = me.json.id;
    const { json: { id } } = await call('POST', '/api/v1/auth/register', { email, password });
    const { json: { access_token: token, refresh_token: refresh } } = await login(password);
    const sid = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()).sid;
    const other = (await login(password)).json.refresh_token;
    const seen = { ip: '127.0.0.1' };
    const from = { level: 'info', ...seen };
    const bad = { level: 'warn', ...seen };
    const subject = `/api/v1/users/${id}`;

    const acts: [what: string, act: () => Promise<unknown>, expected: Record<string, unknown>][] = [
      ['registers', () => call('POST', '/api/v1/auth/register', { email: 'b@example.com', password }),
        { event: 'auth.register', ...from, user_id: (value: unknown) => typeof value === 'string' }],
      ['guesses', () => login('wrong'),
        { event: 'auth.login_failed', ...bad, email, user_id: id, reason: 'credentials' }],
      ['guesses an address', () => call('POST', '/api/v1/auth/login', { email: 'x@example.com', password }),
        { event: 'auth.login_failed', ...bad, email: 'x@example.com', reason: 'credentials' }],
      ['logs out', () => call('POST', '/api/v1/auth/logout', { refresh_token: other }),
        { event: 'auth.logout', ...from, user_id: id, session_id: (value: unknown) => value !== sid }],
      ['mistypes the old password',
        () => call('POST', '/api/v1/auth/password', { current_password: 'x', new_password: password }, token),
        { event: 'auth.password_refused', ...bad, user_id: id }],
      ['changes the password',
        () => call('POST', '/api/v1/auth/password', { current_password: password, new_password: password }, token),
        { event: 'auth.password_changed', ...from, user_id: id }],
      ['is made an administrator', () => call('PATCH', subject, { role: 'admin' }, admin),
        { event: 'admin.user_changed', ...from, user_id: adminId, subject: id, role: 'user → admin' }],
      ['is renamed', () => call('PATCH', subject, { full_name: 'Ada', role: 'admin' }, admin),
        { event: 'admin.user_changed', ...from, user_id: adminId, subject: id }],
      ['is disabled', () => call('PATCH', subject, { is_active: false, role: 'user' }, admin), {
        event: 'admin.user_changed', ...from, user_id: adminId, subject: id,
        role: 'admin → user', is_active: 'true → false',
      }],
      ['tries to log in all the same', () => login(password),
        { event: 'auth.login_failed', ...bad, email, user_id: id, reason: 'disabled' }],
      ['is deleted', () => call('DELETE', subject, undefined, admin),
        { event: 'admin.user_deleted', ...from, user_id: adminId, subject: id }],
      ['ends everything', () => call('POST', '/api/v1/auth/logout-all', undefined, admin),
        { event: 'auth.logout_all', ...from, user_id: adminId }],
    ];
    for (const [what, act, expected] of acts) {
      const [found, ...more] = await eventsOf(server, act);
      assert.deepEqual(more, [], what);
      for (const [name, value] of Object.entries(expected)) {
        if (typeof value !== 'function') continue;
        assert.ok(value(found?.[name]), `${what}: ${name}`);
        delete found![name];
        delete expected[name];
      }
      assert.deepEqual(found, expected, what);
    }
    const all = JSON.stringify(server.log());
    for (const secret of [password, ADMIN.password, token, refresh, other, admin]) assert.ok(!all.includes(secret));
  } finally {
    await server.close();
  }
});

test('a theft and the end of one session are events', async () => {
  const server = await startServer();
  try {
    const { access_token: token, refresh_token: refresh } = await server.login();
    const again = () => server.call('POST', '/api/v1/auth/refresh', { body: { refresh_token: refresh } });
    assert.equal((await again()).status, 200);
    server.clock.advance(11_000);
    const [theft] = await eventsOf(server, again);
    assert.equal(theft?.['event'], 'auth.refresh_reused');
    const { access_token: second } = await server.login();
    const { json } = await server.call('GET', '/api/v1/users/me/sessions', { token: second });
    const target = `/api/v1/users/me/sessions/${json.items[0].id}`;
    const [ended] = await eventsOf(server, () => server.call('DELETE', target, { token: second }));
    assert.deepEqual([ended?.['event'], ended?.['session_id']], ['auth.session_ended', json.items[0].id]);
    assert.equal((await server.call('GET', '/api/v1/users/me', { token })).status, 401);
  } finally {
    await server.close();
  }
});

test('a client over its limit is an event every ten seconds, which counts those left out', async () => {
  const server = await startServer({ RATE_LIMIT_DEFAULT: '2/1h' });
  try {
    const refusedAt = async (advanceMs: number): Promise<unknown[]> => {
      server.clock.advance(advanceMs);
      const found = await eventsOf(server, async () => {
        for (let i = 0; i < 5; i++) await server.call('GET', '/api/v1/public/ping');
      });
      return found.map(({ event, policy, ip, left_out: leftOut }) => [event, policy, ip, leftOut]);
    };
    assert.deepEqual(await refusedAt(0), [['rate_limit.refused', 'default', '127.0.0.1', 0]]);
    assert.deepEqual(await refusedAt(9_000), []);
    assert.deepEqual(await refusedAt(1_000), [['rate_limit.refused', 'default', '127.0.0.1', 7]]);
  } finally {
    await server.close();
  }
});
