import assert from 'node:assert/strict';

import { ADMIN } from '../helpers/server.ts';
import { idOf, story } from './story.ts';

story(
  'the log says who did what from where, and no secret',
  { TRUST_PROXY: '127.0.0.1', LOG_LEVEL: 'debug' },
  async (server) => {
    const secrets: string[] = [ADMIN.password];
    const words = { right: 'Tr0ub4dor&3 ünï', wrong: 'not-the-passw0rd', next: 'another "quoted" one' };
    secrets.push(...Object.values(words));
    const headers = { 'X-Forwarded-For': '203.0.113.7', 'X-Request-Id': 'from-a-test' };
    const post = (path: string, body: unknown, token?: string) =>
      server.call('POST', `/api/v1/auth/${path}`, { body, token, headers });
    const email = 'ada@example.com';

    const { json: user } = await post('register', { email, password: words.right });
    await post('register', { email: 'bad', password: words.right, [words.wrong]: words.wrong });
    await post('register', `{"email": "${email}", "password": "${words.wrong}`);
    await post('login', { email, password: words.wrong });
    await post('login', { email: words.right, password: email });
    const { json: pair } = await post('login', { email, password: words.right });
    const { json: second } = await post('refresh', { refresh_token: pair.refresh_token });
    await server.call('GET', `/api/v1/users?q=${pair.access_token}`, { token: second.access_token, headers });
    await server.call('GET', `/api/v1/nothing/${pair.access_token}`, { headers });
    await post('password', { current_password: words.right, new_password: words.next }, second.access_token);
    server.clock.advance(20_000);
    await post('refresh', { refresh_token: pair.refresh_token });
    const { json: third } = await post('login', { email, password: words.next });
    await post('logout', { refresh_token: third.refresh_token });
    const { json: fourth } = await post('login', { email, password: words.next });
    await post('logout-all', undefined, fourth.access_token);
    const admin = await server.loginAdmin();
    const options = { token: admin.access_token, headers };
    await server.call('PATCH', `/api/v1/users/${user.id}`, { ...options, body: { is_active: false } });
    await server.call('DELETE', `/api/v1/users/${user.id}`, options);
    for (const each of [pair, second, third, fourth, admin]) secrets.push(each.access_token, each.refresh_token);

    const log = server.log();
    const text = JSON.stringify(log);
    for (const secret of secrets) {
      assert.ok(!text.includes(JSON.stringify(secret).slice(1, -1)), `the log holds ${secret}`);
      const signature = secret.split('.')[2];
      if (signature !== undefined) assert.ok(!text.includes(signature), 'the log holds the signature of a token');
    }
    const expected: [event: string, who: Record<string, unknown>][] = [
      ['auth.register', { user_id: user.id }],
      ['auth.login_failed', { email }],
      ['auth.login', { user_id: user.id }],
      ['auth.password_changed', { user_id: user.id }],
      ['auth.refresh_reused', { user_id: user.id }],
      ['auth.logout', { user_id: user.id }],
      ['auth.logout_all', { user_id: user.id }],
      ['admin.user_changed', { user_id: idOf(admin), subject: user.id, is_active: 'true → false' }],
      ['admin.user_deleted', { user_id: idOf(admin), subject: user.id }],
    ];
    for (const [event, who] of expected) {
      const line = log.find((each) => each['event'] === event);
      assert.ok(line, `no ${event}`);
      for (const [name, value] of Object.entries(who)) assert.equal(line[name], value, `${event} ${name}`);
      assert.equal(line['ip'], '203.0.113.7');
      assert.equal(line['request_id'], 'from-a-test');
      assert.match(line['time'], /^2026-01-31T12:00:/);
    }
  },
);
