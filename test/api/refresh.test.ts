import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import type { TestServer } from '../helpers/server.ts';
import { assertEnded, claimsOf, logout, manage, me, outcome, refresh, refreshed, story } from './story.ts';
import type { Pair } from './story.ts';

const REUSED = '401 token_reused';
const INVALID = '401 invalid_token';
const DAY = 86_400_000;

/** A token with our key and other claims. */
function forge(server: TestServer, token: string, change: Record<string, unknown>): string {
  const key = readFileSync(path.join(server.folder, 'app.db.key'), 'utf8').trim();
  const payload = Buffer.from(JSON.stringify({ ...claimsOf(token), ...change })).toString('base64url');
  const input = `${token.split('.')[0]}.${payload}`;
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
}

story('a refresh gives new tokens of the same session, and says not to keep them', {}, async (server) => {
  const first = await server.login();
  server.clock.advance(60_000);
  const answer = await refresh(server, first);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['cache-control'], 'no-store');
  const second: Pair & { token_type: string; expires_in: number } = answer.json;
  assert.deepEqual([second.token_type, second.expires_in], ['bearer', 900]);
  for (const kind of ['access_token', 'refresh_token'] as const) {
    const [before, after] = [claimsOf(first[kind]), claimsOf(second[kind])];
    assert.notEqual(after['jti'], before['jti']);
    for (const claim of ['sub', 'role', 'sid', 'typ']) assert.equal(after[claim], before[claim], claim);
    assert.equal(after['iat'], before['iat'] + 60);
  }
  assert.equal(claimsOf(second.refresh_token)['exp'], claimsOf(first.refresh_token)['exp']);
  for (const pair of [first, second]) assert.equal((await me(server, pair)).status, 200);
});

story('fifty parallel refreshes yield one successor and no logout', {}, async (server) => {
  const first = await server.login();
  const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(server, first)));
  assert.deepEqual([...new Set(answers.map(outcome))], ['200']);
  assert.equal(new Set(answers.map(({ json }) => json.refresh_token)).size, 1);
  for (const { json } of answers.slice(0, 3)) assert.equal((await me(server, json)).status, 200);
  const next = await refreshed(server, answers[0]!.json);
  assert.equal((await me(server, next)).status, 200);
});

story('chains of parallel refreshes go on for as long as each waits for the one before', {}, async (server) => {
  let pair: Pair = await server.login();
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(server, pair)));
    assert.deepEqual([...new Set(answers.map(outcome))], ['200']);
    pair = answers[round % 8]!.json;
  }
});

story('within the interval the retired token names the same successor', {}, async (server) => {
  const first = await server.login();
  const second = await refreshed(server, first);
  for (const ms of [0, 5_000, 4_999]) {
    server.clock.advance(ms);
    assert.equal((await refreshed(server, first)).refresh_token, second.refresh_token);
  }
});

story('the interval counts from the first retirement and is not renewed by asking', {}, async (server) => {
  const first = await server.login();
  const second = await refreshed(server, first);
  server.clock.advance(9_999);
  await refreshed(server, first);
  server.clock.advance(1);
  assert.equal(outcome(await refresh(server, first)), REUSED);
  await assertEnded(server, second);
});

const thefts: [title: string, settings: Record<string, string>, waitMs: number, rotations: number][] = [
  ['after the interval', {}, 10_000, 1],
  ['whose successor has been retired, even at once', {}, 0, 2],
  ['that was retired long ago', {}, 3_600_000, 5],
  ['at once when there is no interval', { REFRESH_TOKEN_REUSE_INTERVAL: '0s' }, 0, 1],
];
for (const [title, settings, waitMs, rotations] of thefts) {
  story(`a retired token ${title} is theft: the whole session ends and no other`, settings, async (server) => {
    const first = await server.login();
    const other = await server.login();
    const pairs: Pair[] = [first];
    for (let i = 0; i < rotations; i++) pairs.push(await refreshed(server, pairs.at(-1)!));
    server.clock.advance(waitMs);
    const alive = waitMs < 900_000 ? '200' : INVALID;
    for (const pair of pairs) assert.equal(outcome(await me(server, pair)), alive);
    const answer = await refresh(server, first);
    assert.equal(outcome(answer), REUSED);
    assert.match(answer.headers['www-authenticate']!, /^Bearer .*error="invalid_token"/);
    for (const pair of pairs) await assertEnded(server, pair);
    const event = server.log().find(({ event }) => event === 'auth.refresh_reused')!;
    const { sub, sid } = claimsOf(first.refresh_token);
    const said = ['user_id', 'session_id', 'ip', 'level'].map((name) => event[name]);
    assert.deepEqual(said, [sub, sid, '127.0.0.1', 'warn']);
    await refreshed(server, other);
  });
}

story('when thief and owner race, either all goes on from one token or the session ends', {}, async (server) => {
  for (let round = 0; round < 5; round++) {
    const first = await server.login();
    const second = await refreshed(server, first);
    const answers = await Promise.all([first, second, first, second].map((pair) => refresh(server, pair)));
    const successors = new Set(answers.filter(({ status }) => status === 200).map(({ json }) => json.refresh_token));
    successors.delete(second.refresh_token);
    assert.ok(successors.size <= 1);
    assert.ok(answers.every((answer) => ['200', REUSED, INVALID].includes(outcome(answer))));
    if (answers.some((answer) => outcome(answer) === REUSED)) await assertEnded(server, second);
  }
});

story(
  'without rotation the same token comes back until it expires or is revoked',
  { REFRESH_TOKEN_ROTATION: 'false' },
  async (server) => {
    const first = await server.login();
    for (const ms of [0, 11_000, 29 * DAY]) {
      server.clock.advance(ms);
      const again = await refreshed(server, first);
      assert.equal(again.refresh_token, first.refresh_token);
      assert.equal((await me(server, again)).status, 200);
    }
    assert.equal((await manage(server, claimsOf(first.refresh_token)['sub'], { role: 'admin' })).status, 200);
    const promoted = await refreshed(server, first);
    assert.deepEqual([promoted.refresh_token, claimsOf(promoted.access_token)['role']], [first.refresh_token, 'admin']);
    const { status } = await logout(server, first);
    assert.equal(status, 204);
    assert.equal(outcome(await refresh(server, first)), INVALID);
    const second = await server.login();
    server.clock.advance(30 * DAY);
    assert.equal(outcome(await refresh(server, second)), INVALID);
  },
);

story(
  'rotation does not extend a session, and the last access token ends with it',
  { REFRESH_TOKEN_TTL: '1h' },
  async (server) => {
    let pair: Pair = await server.login();
    const end = claimsOf(pair.refresh_token)['exp'] * 1000;
    for (let i = 0; i < 3; i++) {
      server.clock.advance(19 * 60_000);
      pair = await refreshed(server, pair);
      assert.equal(claimsOf(pair.refresh_token)['exp'] * 1000, end);
    }
    assert.equal(claimsOf(pair.access_token)['exp'] * 1000, end);
    assert.equal((pair as Pair & { expires_in: number }).expires_in, 3 * 60);
    server.clock.advance(end - server.clock.now() - 1);
    assert.equal((await me(server, pair)).status, 200);
    pair = await refreshed(server, pair);
    server.clock.advance(1);
    await assertEnded(server, pair);
  },
);

story('an access token is good until its last millisecond and not where a refresh token is due', {}, async (server) => {
  const pair = await server.login();
  assert.equal(outcome(await refresh(server, { refresh_token: pair.access_token })), INVALID);
  assert.equal(outcome(await logout(server, { refresh_token: pair.access_token })), INVALID);
  assert.equal(outcome(await me(server, { ...pair, access_token: pair.refresh_token })), INVALID);
  server.clock.advance(claimsOf(pair.access_token)['exp'] * 1000 - server.clock.now() - 1);
  assert.equal((await me(server, pair)).status, 200);
  server.clock.advance(1);
  assert.equal(outcome(await me(server, pair)), INVALID);
});

story('a token signed with our key for another session, user or number does not pass', {}, async (server) => {
  const { refresh_token: token } = await server.login();
  const other = claimsOf((await server.login('bob@example.com')).refresh_token);
  const changes: [change: Record<string, unknown>, expected: string][] = [
    [{ sid: other['sid'] }, INVALID],
    [{ sub: other['sub'] }, INVALID],
    [{ sid: '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21' }, INVALID],
    [{ sid: "' OR 1=1 --" }, INVALID],
    [{ exp: 1 }, INVALID],
    [{ typ: 'access' }, INVALID],
    [{ jti: other['jti'] }, REUSED],
  ];
  for (const [change, expected] of changes) {
    const { refresh_token } = { refresh_token: forge(server, token, change) };
    assert.equal(outcome(await refresh(server, { refresh_token })), expected, JSON.stringify(change));
  }
  assert.equal(outcome(await refresh(server, { refresh_token: token })), INVALID, 'the unknown number was theft');
});

story('what is no token of ours is refused alike by refresh and logout', {}, async (server) => {
  const { refresh_token: token } = await server.login();
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const flipped = signature[0] === 'A' ? 'B' : 'A';
  const bad = ['', 'x', '..', `${none}.${payload}.`, `${header}.${payload}.${flipped}${signature.slice(1)}`];
  for (const refresh_token of [...bad, `${token} `, `${token}=`, `${token}.x`, 'x'.repeat(5000)]) {
    assert.equal(outcome(await refresh(server, { refresh_token })), INVALID);
    assert.equal(outcome(await logout(server, { refresh_token })), INVALID);
  }
  await refreshed(server, { access_token: '', refresh_token: token });
});

story('the refreshed token says the role of the moment', {}, async (server) => {
  const admin = await server.loginAdmin();
  const pair = await server.login();
  const target = `/api/v1/users/${claimsOf(pair.access_token)['sub']}`;
  await server.call('PATCH', target, { token: admin.access_token, body: { role: 'admin' } });
  const next = await refreshed(server, pair);
  assert.equal(claimsOf(next.access_token)['role'], 'admin');
});
