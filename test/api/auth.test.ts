import assert from 'node:assert/strict';

import { ADMIN, startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';
import { assertEnded, claimsOf, idOf, logIn, logout, me, outcome, refresh, refreshed, story } from './story.ts';
import type { Pair } from './story.ts';

const register = (server: TestServer, body: unknown) => server.call('POST', '/api/v1/auth/register', { body });
const changePassword = (server: TestServer, { access_token: token }: Pair, current_password: string, new_password: string) =>
  server.call('POST', '/api/v1/auth/password', { token, body: { current_password, new_password } });
const manage = async (server: TestServer, id: string, body: unknown) => {
  const { access_token: token } = await server.loginAdmin();
  return server.call('PATCH', `/api/v1/users/${id}`, { token, body });
};

story('an account is opened with what was typed', {}, async (server) => {
  const { status, json } = await register(server, { email: 'Ada@Example.com', password: 'pass', full_name: 'Ada 🦆' });
  assert.equal(status, 201);
  const { id, ...rest } = json;
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(rest, {
    email: 'Ada@Example.com',
    email_verified: false,
    full_name: 'Ada 🦆',
    role: 'user',
    is_active: true,
    created_at: '2026-01-31T12:00:00.250Z',
    updated_at: '2026-01-31T12:00:00.250Z',
  });
  assert.equal(outcome(await logIn(server, 'aDA@eXAMPLE.COM', 'pass')), '200');
});

story('an address has one account, in any case and however many ask at once', {}, async (server) => {
  const emails = ['ada@example.com', 'ADA@example.com', 'Ada@Example.Com', 'ada@EXAMPLE.com'];
  const answers = await Promise.all(emails.map((email, i) => register(server, { email, password: `pass ${i}` })));
  assert.deepEqual(answers.map(outcome).sort(), ['201', '409 email_taken', '409 email_taken', '409 email_taken']);
  const winner = answers.findIndex(({ status }) => status === 201);
  for (let i = 0; i < 4; i++) {
    const expected = i === winner ? '200' : '401 invalid_credentials';
    assert.equal(outcome(await logIn(server, 'ada@example.com', `pass ${i}`)), expected);
  }
  assert.equal(outcome(await register(server, { email: 'ada@example.com', password: 'pass' })), '409 email_taken');
});

story('every fault of a registration is named at once, and no account is opened', {}, async (server) => {
  const faults = async (body: unknown): Promise<string[]> => {
    const answer = await register(server, body);
    assert.equal(outcome(answer), '422 validation_failed', JSON.stringify(body));
    return answer.json.errors.map(({ pointer }: { pointer: string }) => pointer).sort();
  };
  const email = 'ada@example.com';
  const password = 'pass';
  const cases: [body: unknown, pointers: string[]][] = [
    [{}, ['/email', '/password']],
    [{ email: 'a@a', password: 'abc', full_name: 7, role: 'admin', is_active: true },
      ['/email', '/full_name', '/is_active', '/password', '/role']],
    [{ email, password, 'a/b~c': 1 }, ['/a~1b~0c']],
    [{ email: 1, password: null }, ['/email', '/password']],
    [{ email: [email], password: { a: 1 } }, ['/email', '/password']],
    [{ email, password: 'abc' }, ['/password']],
    [{ email, password: '🦆🦆🦆' }, ['/password']],
    [{ email, password: 'x'.repeat(1025) }, ['/password']],
    [{ email, password: '🦆'.repeat(257) }, ['/password']],
    [{ email, password: 'pa\0ss' }, ['/password']],
    [{ email, password, full_name: 'a\0b' }, ['/full_name']],
    [{ email, password, full_name: '\ud800' }, ['/full_name']],
    [{ email, password, full_name: '🦆'.repeat(201) }, ['/full_name']],
    [{ email: '.a@a.com', password }, ['/email']],
    [{ email: 'a..b@a.com', password }, ['/email']],
    [{ email: 'a@a..com', password }, ['/email']],
    [{ email: 'ä@a.com', password }, ['/email']],
    [{ email: ` ${email}`, password }, ['/email']],
    [{ email: `${email}\n`, password }, ['/email']],
    [{ email: `${'a'.repeat(243)}@example.com`, password }, ['/email']],
    [[], ['']],
    [null, ['']],
    ['"text"', ['']],
  ];
  for (const [body, pointers] of cases) assert.deepEqual(await faults(body), pointers, JSON.stringify(body));
  assert.equal(outcome(await logIn(server, email, password)), '401 invalid_credentials');
});

story('what lies just inside the rules is taken as it is', {}, async (server) => {
  const accounts = [
    { email: `${'a'.repeat(242)}@example.com`, password: '🦆🦆🦆🦆' },
    { email: "o'neil+tag!#$%&*/=?^_`{|}~-@a.co", password: ' pass ', full_name: '🦆'.repeat(200) },
    { email: 'a@xn--bcher-kva.example', password: 'x'.repeat(1024), full_name: null },
    { email: 'b@a.com', password: '🦆'.repeat(256), full_name: '' },
  ];
  for (const account of accounts) {
    assert.equal(outcome(await register(server, account)), '201', account.email);
    const near = [[...account.password].slice(1).join(''), `${account.password} `, account.password.toUpperCase() + '.'];
    for (const wrong of near) assert.equal(outcome(await logIn(server, account.email, wrong)), '401 invalid_credentials');
    assert.equal(outcome(await logIn(server, account.email, account.password)), '200');
  }
});

story('tokens come with their type, their time and a word to caches', {}, async (server) => {
  const { access_token: access, refresh_token: token } = await server.login();
  const answer = await logIn(server, 'ada@example.com', 'correct horse');
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.deepEqual([answer.json.token_type, answer.json.expires_in], ['bearer', 900]);
  const iat = Math.floor(server.clock.now() / 1000);
  const [a, r] = [claimsOf(access), claimsOf(token)];
  assert.deepEqual([a['typ'], a['iat'], a['exp'], a['role']], ['access', iat, iat + 900, 'user']);
  assert.deepEqual([r['typ'], r['iat'], r['exp'], r['role']], ['refresh', iat, iat + 30 * 86_400, 'user']);
  assert.equal(a['sid'], r['sid']);
  assert.notEqual(a['jti'], r['jti']);
});

story('a wrong password, an unknown and a malformed address get the same answer', {}, async (server) => {
  await server.login();
  const answers = [
    await logIn(server, 'ada@example.com', 'wrong'),
    await logIn(server, 'nobody@example.com', 'correct horse'),
    await logIn(server, 'no address', 'correct horse'),
    await logIn(server, '', ''),
    await logIn(server, `${'x'.repeat(3000)}@example.com`, 'y'.repeat(3000)),
  ];
  const seen = answers.map(({ status, headers, json }) => {
    const { 'x-request-id': _, date, ...rest } = headers;
    return { status, headers: { ...rest, ratelimit: '' }, json: { ...json, request_id: '' } };
  });
  for (const each of seen) assert.deepEqual(each, seen[0]);
  assert.equal(seen[0]!.json.code, 'invalid_credentials');
  assert.match(seen[0]!.headers['www-authenticate']!, /^Bearer realm="[^"]+"$/);
});

story('an unknown address is worth the same hashing as a known one', { SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '1', SCRYPT_LOG2_N: '14', SCRYPT_R: '8' }, async (server) => {
  for (const email of [ADMIN.email, 'nobody@example.com']) {
    const answers = await Promise.all(Array.from({ length: 6 }, () => logIn(server, email, 'wrong')));
    const outcomes = answers.map(outcome).sort();
    assert.deepEqual(outcomes.slice(-1), ['503 overloaded'], 'some found the queue full');
    assert.equal(outcomes[0], '401 invalid_credentials');
    const busy = answers.find(({ status }) => status === 503)!;
    assert.ok(Number(busy.headers['retry-after']) >= 1);
  }
});

story('that an account is disabled is said only after the right password', {}, async (server) => {
  const pair = await server.login();
  await manage(server, idOf(pair), { is_active: false });
  assert.equal(outcome(await logIn(server, 'ada@example.com', 'wrong')), '401 invalid_credentials');
  const answer = await logIn(server, 'ada@example.com', 'correct horse');
  assert.equal(outcome(answer), '403 account_disabled');
});

story('disabling ends the sessions for good', {}, async (server) => {
  const pair = await server.login();
  assert.equal(outcome(await manage(server, idOf(pair), { is_active: false })), '200');
  await assertEnded(server, pair);
  assert.equal(outcome(await manage(server, idOf(pair), { is_active: true })), '200');
  await assertEnded(server, pair);
  assert.equal(outcome(await logout(server, pair)), '204');
  assert.equal(outcome(await me(server, await server.login())), '200');
});

story('a deleted user is gone with the next request, and the address is free', {}, async (server) => {
  const pair = await server.login();
  const { access_token: token } = await server.loginAdmin();
  assert.equal(outcome(await server.call('DELETE', `/api/v1/users/${idOf(pair)}`, { token })), '204');
  await assertEnded(server, pair);
  assert.equal(outcome(await logIn(server, 'ada@example.com', 'correct horse')), '401 invalid_credentials');
  assert.notEqual(idOf(await server.login()), idOf(pair));
  await assertEnded(server, pair);
});

story('a login and its disabling at the same moment leave no session behind', {}, async (server) => {
  const id = idOf(await server.login());
  for (let round = 0; round < 5; round++) {
    const logins = Array.from({ length: 4 }, () => logIn(server, 'ada@example.com', 'correct horse'));
    await manage(server, id, { is_active: false });
    for (const answer of await Promise.all(logins)) {
      if (answer.status === 200) await assertEnded(server, answer.json);
      else assert.equal(outcome(answer), '403 account_disabled');
    }
    await manage(server, id, { is_active: true });
  }
});

story('any refresh token of a session logs it out, as often as one likes', {}, async (server) => {
  const first = await server.login();
  const other = await server.login();
  const second = await refreshed(server, first);
  const third = await refreshed(server, second);
  for (const pair of [first, second, third, first]) {
    assert.equal(outcome(await logout(server, pair)), '204');
    await assertEnded(server, first);
    await assertEnded(server, third);
  }
  assert.equal((await me(server, other)).status, 200);
});

story('an expired refresh token still logs out, and is no error', { REFRESH_TOKEN_TTL: '1h' }, async (server) => {
  const pair = await server.login();
  server.clock.advance(3_600_000);
  assert.equal(outcome(await refresh(server, pair)), '401 invalid_token');
  assert.equal(outcome(await logout(server, pair)), '204');
});

story('logging out everywhere ends every session of the user and nobody else', {}, async (server) => {
  const pairs = [await server.login(), await server.login(), await server.login()];
  const other = await server.login('bob@example.com');
  const { status } = await server.call('POST', '/api/v1/auth/logout-all', { token: pairs[1]!.access_token });
  assert.equal(status, 204);
  for (const pair of pairs) await assertEnded(server, pair);
  assert.equal((await me(server, other)).status, 200);
  const again = await server.call('POST', '/api/v1/auth/logout-all', { token: pairs[1]!.access_token });
  assert.equal(outcome(again), '401 invalid_token');
});

story('a new password ends the other sessions and leaves this one', {}, async (server) => {
  const [here, there] = [await server.login(), await server.login()];
  assert.equal(outcome(await changePassword(server, here, 'wrong', 'new password')), '401 invalid_credentials');
  assert.equal(outcome(await changePassword(server, here, 'correct horse', 'abc')), '422 validation_failed');
  assert.equal((await me(server, there)).status, 200);
  assert.equal(outcome(await changePassword(server, here, 'correct horse', 'new password')), '204');
  await assertEnded(server, there);
  assert.equal((await me(server, here)).status, 200);
  await refreshed(server, here);
  assert.equal(outcome(await logIn(server, 'ada@example.com', 'correct horse')), '401 invalid_credentials');
  assert.equal(outcome(await logIn(server, 'ada@example.com', 'new password')), '200');
  assert.equal(outcome(await changePassword(server, here, 'correct horse', 'other')), '401 invalid_credentials');
});

story('two new passwords at once: one is set', {}, async (server) => {
  const pair = await server.login();
  const answers = await Promise.all(['one 1', 'two 2'].map((word) => changePassword(server, pair, 'correct horse', word)));
  assert.deepEqual(answers.map(outcome).sort(), ['204', '401 invalid_credentials']);
  const winner = ['one 1', 'two 2'][answers.findIndex(({ status }) => status === 204)]!;
  assert.equal(outcome(await logIn(server, 'ada@example.com', winner)), '200');
});

const PROXY = { TRUST_PROXY: '127.0.0.1', RATE_LIMIT_LOGIN_FAILURES: '3/15m' };
for (const email of ['ada@example.com', 'nobody@example.com', 'no address']) {
  story(`guesses at ${email} from one network are stopped, parallel ones too, and from another they are not`, PROXY, async (server) => {
    await server.login();
    const guesses = await Promise.all(Array.from({ length: 8 }, () => logIn(server, email, 'wrong', '192.0.2.1')));
    const wrong = guesses.filter((answer) => outcome(answer) === '401 invalid_credentials');
    const refused = guesses.filter((answer) => outcome(answer) === '429 rate_limited');
    assert.deepEqual([wrong.length, refused.length], [3, 5]);
    assert.match(String(refused[0]!.headers['ratelimit']), /"login-failures";r=0;t=300/);
    assert.equal(refused[0]!.headers['retry-after'], '300');
    assert.match(String(refused[0]!.headers['ratelimit-policy']), /"login-failures";q=3;w=900/);
    assert.equal(outcome(await logIn(server, email.toUpperCase(), 'correct horse', '192.0.2.1')), '429 rate_limited');
    const known = email === 'ada@example.com' ? '200' : '401 invalid_credentials';
    assert.equal(outcome(await logIn(server, email, 'correct horse', '192.0.2.2')), known);
    assert.equal(outcome(await logIn(server, 'other@example.com', 'x', '192.0.2.1')), '401 invalid_credentials');
    server.clock.advance(300_000);
    assert.equal(outcome(await logIn(server, email, 'correct horse', '192.0.2.1')), known);
  });
}

story('a login that succeeds, or finds the account disabled, costs no attempt', PROXY, async (server) => {
  const pair = await server.login();
  for (let i = 0; i < 10; i++) assert.equal((await logIn(server, 'ada@example.com', 'correct horse')).status, 200);
  await manage(server, idOf(pair), { is_active: false });
  for (let i = 0; i < 10; i++) assert.equal((await logIn(server, 'ada@example.com', 'correct horse')).status, 403);
  for (let i = 0; i < 3; i++) assert.equal((await logIn(server, 'ada@example.com', 'wrong')).status, 401);
  assert.equal((await logIn(server, 'ada@example.com', 'correct horse')).status, 429);
});

story('a subscriber with a /64 of IPv6 has one bucket for failed logins', PROXY, async (server) => {
  const ips = ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2', '2001:0db8:0000:0001:1:2:3:4'];
  for (const ip of ips) assert.equal((await logIn(server, 'ada@example.com', 'wrong', ip)).status, 401);
  assert.equal((await logIn(server, 'ada@example.com', 'wrong', '2001:db8:0:1::9')).status, 429);
  assert.equal((await logIn(server, 'ada@example.com', 'wrong', '2001:db8:0:2::1')).status, 401);
});

story('a login refused for its failures is given back what it took of the other limits', { ...PROXY, RATE_LIMIT_LOGIN: '5/60s' }, async (server) => {
  const ip = '192.0.2.1';
  for (let i = 0; i < 3; i++) assert.equal((await logIn(server, 'ada@example.com', 'wrong', ip)).status, 401);
  for (let i = 0; i < 9; i++) {
    const answer = await logIn(server, 'ada@example.com', 'wrong', ip);
    assert.match(String(answer.headers['ratelimit']), /"login";r=2;.*"login-failures";r=0/);
  }
});

story('a refused login does not hash', { ...PROXY, SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '0' }, async (server) => {
  for (let i = 0; i < 3; i++) await logIn(server, 'ada@example.com', 'wrong');
  const answers = await Promise.all(Array.from({ length: 20 }, () => logIn(server, 'ada@example.com', 'wrong')));
  assert.deepEqual([...new Set(answers.map(outcome))], ['429 rate_limited'], 'none found the queue of hashes full');
});

story('an attempt that could not be checked was none', { ...PROXY, SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '0', SCRYPT_LOG2_N: '12' }, async (server) => {
  await server.call('POST', '/api/v1/auth/register', { body: { email: 'ada@example.com', password: 'correct horse' } });
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all([1, 2, 3].map(() => logIn(server, 'ada@example.com', 'correct horse')));
    assert.deepEqual(answers.map(outcome).sort().slice(-1), ['503 overloaded']);
  }
  for (let i = 0; i < 3; i++) assert.equal((await logIn(server, 'ada@example.com', 'wrong')).status, 401);
  assert.equal((await logIn(server, 'ada@example.com', 'wrong')).status, 429);
});

story('passwords are hashed again at login when the cost of hashes changes, parallel logins too', {}, async (first) => {
  await first.login();
  const dearer = await startServer({ SCRYPT_LOG2_N: '5' }, { folder: first.folder });
  try {
    const logins = await Promise.all(Array.from({ length: 6 }, () => logIn(dearer, 'ada@example.com', 'correct horse')));
    assert.deepEqual(logins.map(outcome), Array(6).fill('200'));
    for (const { json } of logins) assert.equal((await me(dearer, json)).status, 200);
    assert.equal((await logIn(dearer, 'ada@example.com', 'wrong')).status, 401);
  } finally {
    await dearer.close();
  }
  const rows = await first.db.all('SELECT password_hash, updated_at - created_at FROM users ORDER BY role DESC', []);
  const costs = rows.map(([hash, age]) => [/ln=(\d+)/.exec(String(hash))![1], age]);
  assert.deepEqual(costs, [['5', 0], ['4', 0]], 'Ada has logged in since, the administrator has not');
});

story('the first administrator is made once and never changes an account that exists', {}, async (server) => {
  const pair = await server.loginAdmin();
  assert.equal((await me(server, pair)).json.role, 'admin');
  assert.equal(outcome(await changePassword(server, pair, ADMIN.password, 'another horse')), '204');
  await server.login('ada@example.com', 'correct horse');
  for (const email of [ADMIN.email, 'ADA@example.com']) {
    const again = await startServer({ FIRST_ADMIN_EMAIL: email, FIRST_ADMIN_PASSWORD: 'guess me' }, { folder: server.folder });
    try {
      assert.equal(outcome(await logIn(again, email, 'guess me')), '401 invalid_credentials');
    } finally {
      await again.close();
    }
  }
  assert.equal(outcome(await logIn(server, ADMIN.email, 'another horse')), '200');
  assert.equal((await me(server, await server.login())).json.role, 'user');
});

story('tokens of an older key are good for as long as it is listed', { JWT_SECRET: 'old-key-'.repeat(5) }, async (server) => {
  const pair = await server.login();
  const secret = { JWT_SECRET: 'new-key-'.repeat(5) };
  const restart = async (settings: Record<string, string>, tell: (again: TestServer) => Promise<void>) => {
    const again = await startServer(settings, { folder: server.folder, clock: server.clock });
    await tell(again).finally(() => again.close());
  };
  let next: Pair | undefined;
  await restart({ ...secret, JWT_SECRET_PREVIOUS: `${'older-key-'.repeat(4)},${'old-key-'.repeat(5)}` }, async (again) => {
    assert.equal((await me(again, pair)).status, 200);
    next = await refreshed(again, pair);
    assert.equal((await me(again, next)).status, 200);
  });
  await restart(secret, async (again) => {
    assert.equal(outcome(await me(again, pair)), '401 invalid_token');
    assert.equal(outcome(await logout(again, pair)), '401 invalid_token');
    assert.equal((await me(again, next!)).status, 200);
  });
  assert.equal(outcome(await me(server, next!)), '401 invalid_token', 'a key that is not listed signs nothing');
});

story('the key beside the database outlives a restart, and sessions with it', {}, async (server) => {
  const pair = await server.login();
  const again = await startServer({}, { folder: server.folder, clock: server.clock });
  try {
    assert.equal((await me(again, pair)).status, 200);
    await refreshed(again, pair);
  } finally {
    await again.close();
  }
});

story('the log says who did what from where, and no secret', { TRUST_PROXY: '127.0.0.1', LOG_LEVEL: 'debug' }, async (server) => {
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
});
