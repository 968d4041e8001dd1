import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { createTokens } from '../../src/core/tokens.ts';
import type { Clock } from '../helpers/clock.ts';
import { startServer } from '../helpers/server.ts';
import type { Answer, TestServer } from '../helpers/server.ts';

const PING = '/api/v1/public/ping';
const LOGIN = '/api/v1/auth/login';
const KEY = 'a key of the tests that is long enough';
const BEHIND_PROXY = { TRUST_PROXY: '127.0.0.1' };

/** A clock that can be turned by single nanoseconds. */
function createFineClock(): Clock & { advanceNs(ns: number): void } {
  let passed = 0;
  return {
    now: () => Date.parse('2026-01-31T12:00:00Z') + Math.floor(passed / 1e6),
    monotonic: () => passed,
    advance: (ms) => void (passed += ms * 1e6),
    advanceNs: (ns) => void (passed += ns),
  };
}

async function withServer<C extends Clock>(
  settings: Record<string, string>,
  story: (server: TestServer, clock: C) => Promise<void>,
  clock: C = createFineClock() as never,
): Promise<void> {
  const server = await startServer({ JWT_SECRET: KEY, ...settings }, { clock });
  try {
    await story(server, clock);
  } finally {
    await server.close();
  }
}

const limitsOf = ({ status, headers }: Answer) => [status, headers['ratelimit'], headers['retry-after']];

/** A failed or successful login from an address behind the proxy. */
const login = (server: TestServer, email: string, password: string, from = '192.0.2.1'): Promise<Answer> =>
  server.call('POST', LOGIN, { body: { email, password }, headers: { 'X-Forwarded-For': from } });

suite('limits', { concurrency: 2 }, () => {
  test('each answer says what is left, and a refusal truly when to come back, to the nanosecond', () =>
    withServer({ RATE_LIMIT_DEFAULT: '3/60s' }, async (server, clock: ReturnType<typeof createFineClock>) => {
      const ping = () => server.call('GET', PING);
      const first = await ping();
      assert.equal(first.headers['ratelimit-policy'], '"default";q=3;w=60');
      assert.deepEqual(limitsOf(first), [200, '"default";r=2;t=20', undefined]);
      assert.deepEqual(limitsOf(await ping()), [200, '"default";r=1;t=40', undefined]);
      assert.deepEqual(limitsOf(await ping()), [200, '"default";r=0;t=60', undefined]);
      for (let i = 0; i < 5; i++) assert.deepEqual(limitsOf(await ping()), [429, '"default";r=0;t=20', '20']);
      clock.advanceNs(20e9 - 1);
      const refused = await ping();
      assert.deepEqual(limitsOf(refused), [429, '"default";r=0;t=1', '1']);
      assert.equal(refused.json.code, 'rate_limited');
      assert.equal(refused.headers['ratelimit-policy'], '"default";q=3;w=60');
      clock.advanceNs(1);
      assert.deepEqual(limitsOf(await ping()), [200, '"default";r=0;t=60', undefined]);
      clock.advanceNs(3600e9);
      assert.deepEqual(limitsOf(await ping()), [200, '"default";r=2;t=20', undefined]);
    }));

  test('windows that are no whole seconds are told in whole ones', () =>
    withServer({ RATE_LIMIT_DEFAULT: '1/1500ms' }, async (server, clock: Clock) => {
      const first = await server.call('GET', PING);
      assert.equal(first.headers['ratelimit-policy'], '"default";q=1;w=2');
      assert.deepEqual(limitsOf(first), [200, '"default";r=0;t=2', undefined]);
      assert.deepEqual(limitsOf(await server.call('GET', PING)), [429, '"default";r=0;t=2', '2']);
      clock.advance(2000);
      assert.equal((await server.call('GET', PING)).status, 200);
    }));

  test('whatever the answer, a limited route tells its limits, and the others tell none', () =>
    withServer({ RATE_LIMIT_DEFAULT: '100/60s', RATE_LIMIT_LOGIN: '50/60s' }, async (server) => {
      const asked: [method: string, path: string, body: unknown, status: number, policies: number][] = [
        ['GET', PING, undefined, 200, 1],
        ['HEAD', PING, undefined, 200, 1],
        ['GET', `${PING}?a=b`, undefined, 400, 1],
        ['GET', '/api/v1/users/me', undefined, 401, 1],
        ['POST', '/api/v1/auth/register', {}, 422, 1],
        ['POST', '/api/v1/auth/register', '{', 400, 1],
        ['POST', LOGIN, '{', 400, 2],
        ['POST', LOGIN, { email: 'a@example.com', password: 'wrong' }, 401, 3],
        ['GET', '/healthz', undefined, 200, 0],
        ['GET', '/openapi.json', undefined, 200, 0],
        ['GET', '/nothing', undefined, 404, 0],
        ['PUT', PING, undefined, 405, 0],
        ['OPTIONS', PING, undefined, 204, 0],
      ];
      for (const [method, path, body, status, policies] of asked) {
        const { headers, ...answer } = await server.call(method, path, body === undefined ? {} : { body });
        const what = `${method} ${path}`;
        assert.equal(answer.status, status, what);
        for (const name of ['ratelimit', 'ratelimit-policy']) {
          assert.equal(String(headers[name] ?? '').split(', ').filter(Boolean).length, policies, `${what}: ${name}`);
        }
      }
    }));

  test('who has a token of ours is counted as that user, everyone else as the address', () =>
    withServer({ ...BEHIND_PROXY, RATE_LIMIT_DEFAULT: '3/60s' }, async (server, clock: Clock) => {
      const ada = (await server.login('ada@example.com')).access_token;
      clock.advance(60_000);
      const bob = (await server.login('bob@example.com')).access_token;
      clock.advance(60_000);
      const left = async (token: string | undefined, from: string): Promise<string | undefined> => {
        const { headers } = await server.call('GET', PING, { token, headers: { 'X-Forwarded-For': from } });
        return /r=(\d+)/.exec(String(headers['ratelimit']))?.[1];
      };
      assert.equal(await left(ada, '192.0.2.1'), '2');
      assert.equal(await left(ada, '192.0.2.2'), '1', 'the same user from elsewhere');
      assert.equal(await left(bob, '192.0.2.1'), '2', 'another user from there');
      assert.equal(await left(undefined, '192.0.2.1'), '2', 'nobody from there');
      assert.equal(await left(undefined, '192.0.2.3'), '2', 'nobody from elsewhere');
      assert.equal(await left(undefined, '::ffff:192.0.2.3'), '1', 'the same address, mapped into IPv6');
      assert.equal(await left(undefined, '2001:db8::1'), '2');
      assert.equal(await left(undefined, '2001:db8:0:0:ffff::1'), '1', 'the same /64');
      assert.equal(await left(undefined, '2001:db8:0:1::1'), '2', 'another /64');

      const { sub, sid } = JSON.parse(Buffer.from(ada.split('.')[1]!, 'base64url').toString());
      const claims = { sub, sid, role: 'user', jti: 'j', iat: 0, exp: 4e9, typ: 'access' } as const;
      const own = createTokens({ keys: [KEY], issuer: undefined, audience: undefined });
      const forged = createTokens({ keys: [`${KEY}.`], issuer: undefined, audience: undefined });
      const worthless = {
        'signed with another key': forged.sign({ ...claims, sub: 'somebody new' }),
        'expired': own.sign({ ...claims, exp: 1 }),
        'a refresh token': own.sign({ ...claims, typ: 'refresh' }),
        'one letter off': `${ada.slice(0, -2)}AA`,
        'no token at all': 'x',
      };
      let address = 10;
      for (const [what, token] of Object.entries(worthless)) {
        const from = `198.51.100.${address++}`;
        assert.equal(await left(token, from), '2', what);
        assert.equal(await left(undefined, from), '1', `${what}: counted as the address`);
      }
    }));

  test('a refusal comes before the database, the body and its kind are looked at', () =>
    withServer({ RATE_LIMIT_DEFAULT: '1/60s' }, async (server) => {
      await server.call('GET', PING);
      const headers = { 'Content-Type': 'text/plain' };
      assert.equal((await server.call('POST', LOGIN, { body: 'x', headers })).status, 429);
      assert.equal((await server.call('POST', LOGIN, { body: 'x'.repeat(200_000) })).status, 429);
      assert.equal((await server.call('GET', '/api/v1/users/me', { token: 'x' })).status, 429);
      assert.equal((await server.call('GET', '/api/v1/users/no-uuid?a=b')).status, 429);
    }));

  test('login tells of all its limits, is counted by address even with a token, and costs nothing when refused', () =>
    withServer(
      {
        ...{ ...BEHIND_PROXY, RATE_LIMIT_DEFAULT: '100/60s' },
        ...{ RATE_LIMIT_LOGIN: '2/60s', RATE_LIMIT_LOGIN_FAILURES: '20/15m' },
      },
      async (server) => {
        const { access_token: token } = await server.login('ada@example.com');
        const attempt = () =>
          server.call('POST', LOGIN, {
            ...{ token, body: { email: 'ada@example.com', password: 'wrong' } },
            headers: { 'X-Forwarded-For': '192.0.2.1' },
          });
        const first = await attempt();
        assert.equal(
          first.headers['ratelimit-policy'],
          '"default";q=100;w=60, "login";q=2;w=60, "login-failures";q=20;w=900',
        );
        const left = '"default";r=99;t=1, "login";r=1;t=30, "login-failures";r=19;t=45';
        assert.deepEqual(limitsOf(first), [401, left, undefined]);
        await attempt();
        for (let i = 0; i < 3; i++) {
          assert.deepEqual(limitsOf(await attempt()), [429, '"default";r=98;t=2, "login";r=0;t=30', '30']);
        }
      },
    ));

  test('where several limits refuse, waiting as long as told satisfies all of them', () =>
    withServer({ RATE_LIMIT_DEFAULT: '2/2s', RATE_LIMIT_LOGIN: '2/60s' }, async (server, clock: Clock) => {
      const attempt = () => server.call('POST', LOGIN, { body: { email: 'ada@example.com', password: 'wrong' } });
      clock.advance(60_000);
      await attempt();
      await attempt();
      const refused = await attempt();
      assert.deepEqual(limitsOf(refused), [429, '"default";r=0;t=1, "login";r=0;t=30', '30']);
      clock.advance(30_000);
      assert.equal((await attempt()).status, 401);
    }));

  test('failed logins empty a bucket of the account and network: then the right password is refused, too', () =>
    withServer(
      { ...BEHIND_PROXY, RATE_LIMIT_LOGIN_FAILURES: '3/3m', FIRST_ADMIN_EMAIL: 'Ada@example.com' },
      async (server, clock: Clock) => {
        const right = 'correct horse';
        for (const [email, wanted] of [['ada@example.com', 200], ['nobody@example.com', 401]] as const) {
          clock.advance(180_000);
          for (let i = 0; i < 3; i++) {
            const spelling = i % 2 === 0 ? email : email.toUpperCase();
            assert.equal((await login(server, spelling, 'wrong')).status, 401, email);
          }
          const refused = await login(server, email, right);
          assert.equal(refused.status, 429, email);
          assert.match(String(refused.headers['ratelimit']), /"login-failures";r=0;t=60$/);
          assert.equal(refused.headers['retry-after'], '60');
          assert.equal((await login(server, email, right, '2001:db8::1')).status, wanted, 'from elsewhere');
          clock.advance(59_999);
          assert.equal((await login(server, email, right)).status, 429, email);
          clock.advance(1);
          assert.equal((await login(server, email, right)).status, wanted, email);
        }
      },
    ));

  test('a login that succeeds gets its token of that bucket back', () =>
    withServer({ RATE_LIMIT_LOGIN_FAILURES: '2/15m' }, async (server) => {
      for (let i = 0; i < 5; i++) {
        const { status, headers } = await server.call('POST', LOGIN, {
          body: { email: 'admin@example.com', password: 'correct horse' },
        });
        assert.equal(status, 200);
        assert.match(String(headers['ratelimit']), /"login-failures";r=2;t=0$/);
      }
    }));

  test('guesses made all at once count like others', () =>
    withServer({ ...BEHIND_PROXY, RATE_LIMIT_LOGIN_FAILURES: '5/15m' }, async (server) => {
      const guesses = await Promise.all(
        Array.from({ length: 20 }, (_, i) => login(server, 'admin@example.com', `guess ${i}`, `2001:db8::${i + 1}`)),
      );
      assert.equal(guesses.filter(({ status }) => status === 401).length, 5);
      assert.equal(guesses.filter(({ status }) => status === 429).length, 15);
    }));
});
