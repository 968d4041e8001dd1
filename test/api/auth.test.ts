import assert from 'node:assert/strict';

import { ADMIN } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';
import { assertEnded, changePassword, claimsOf, idOf, logIn, logout, manage, me } from './story.ts';
import { outcome, refresh, refreshed, story } from './story.ts';

const register = (server: TestServer, body: unknown) => server.call('POST', '/api/v1/auth/register', { body });

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
    const { email, password } = account;
    const near = [[...password].slice(1).join(''), `${password} `, `${password.toUpperCase()}.`];
    for (const wrong of near) assert.equal(outcome(await logIn(server, email, wrong)), '401 invalid_credentials');
    assert.equal(outcome(await logIn(server, email, password)), '200');
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

story(
  'an unknown address is worth the same hashing as a known one',
  { SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '1', SCRYPT_LOG2_N: '15', SCRYPT_R: '8', SCRYPT_P: '3' },
  async (server) => {
    for (const email of [ADMIN.email, 'nobody@example.com']) {
      const answers = await Promise.all(Array.from({ length: 6 }, () => logIn(server, email, 'wrong')));
      const outcomes = answers.map(outcome).sort();
      assert.deepEqual(outcomes.slice(-1), ['503 overloaded'], 'some found the queue full');
      assert.equal(outcomes[0], '401 invalid_credentials');
      const busy = answers.find(({ status }) => status === 503)!;
      assert.ok(Number(busy.headers['retry-after']) >= 1);
    }
  },
);

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
  const words = ['one 1', 'two 2'];
  const answers = await Promise.all(words.map((word) => changePassword(server, pair, 'correct horse', word)));
  assert.deepEqual(answers.map(outcome).sort(), ['204', '401 invalid_credentials']);
  const winner = words[answers.findIndex(({ status }) => status === 204)]!;
  assert.equal(outcome(await logIn(server, 'ada@example.com', winner)), '200');
});
