import assert from 'node:assert/strict';

import { changePassword, idOf, logIn, manage, outcome, story } from './story.ts';

const PROXY = { TRUST_PROXY: '127.0.0.1', RATE_LIMIT_LOGIN_FAILURES: '3/15m' };
for (const email of ['ada@example.com', 'nobody@example.com', 'no address']) {
  story(
    `guesses at ${email} from one network are stopped, parallel ones too, and from another they are not`,
    PROXY,
    async (server) => {
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
    },
  );
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

story(
  'a login refused for its failures is given back what it took of the other limits',
  { ...PROXY, RATE_LIMIT_LOGIN: '5/60s' },
  async (server) => {
    const ip = '192.0.2.1';
    for (let i = 0; i < 3; i++) assert.equal((await logIn(server, 'ada@example.com', 'wrong', ip)).status, 401);
    for (let i = 0; i < 9; i++) {
      const answer = await logIn(server, 'ada@example.com', 'wrong', ip);
      assert.match(String(answer.headers['ratelimit']), /"login";r=2;.*"login-failures";r=0/);
    }
  },
);

story('a refused login does not hash', { ...PROXY, SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '0' }, async (server) => {
  for (let i = 0; i < 3; i++) await logIn(server, 'ada@example.com', 'wrong');
  const answers = await Promise.all(Array.from({ length: 20 }, () => logIn(server, 'ada@example.com', 'wrong')));
  assert.deepEqual([...new Set(answers.map(outcome))], ['429 rate_limited'], 'none found the queue of hashes full');
});

story(
  'an attempt that could not be checked was none',
  { ...PROXY, SCRYPT_CONCURRENCY: '1', SCRYPT_QUEUE: '0', SCRYPT_LOG2_N: '14', SCRYPT_R: '8' },
  async (server) => {
    const body = { email: 'ada@example.com', password: 'correct horse' };
    await server.call('POST', '/api/v1/auth/register', { body });
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all([1, 2, 3].map(() => logIn(server, 'ada@example.com', 'correct horse')));
      assert.deepEqual(answers.map(outcome).sort().slice(-1), ['503 overloaded']);
    }
    for (let i = 0; i < 3; i++) assert.equal((await logIn(server, 'ada@example.com', 'wrong')).status, 401);
    assert.equal((await logIn(server, 'ada@example.com', 'wrong')).status, 429);
  },
);

story('a wrong current password counts as a failed login, and a right one costs no attempt', PROXY, async (server) => {
  const pair = await server.login();
  for (let i = 0; i < 5; i++) {
    assert.equal(outcome(await changePassword(server, pair, 'correct horse', 'correct horse')), '204');
  }
  const guesses = await Promise.all(Array.from({ length: 6 }, () => changePassword(server, pair, 'wrong', 'other one')));
  assert.deepEqual(guesses.map(outcome).sort(), [
    ...Array<string>(3).fill('401 invalid_credentials'), ...Array<string>(3).fill('429 rate_limited'),
  ]);
  assert.equal(outcome(await changePassword(server, pair, 'correct horse', 'other one')), '429 rate_limited');
  assert.equal(outcome(await logIn(server, 'ada@example.com', 'correct horse', '127.0.0.1')), '429 rate_limited');
  assert.equal(outcome(await logIn(server, 'ada@example.com', 'correct horse', '192.0.2.1')), '200');
});
