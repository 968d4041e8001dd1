import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/core/load_config.ts';
import type { Database, Statement } from '../../src/db/database.ts';
import { openDatabase } from '../../src/db/session.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { passMinute, settled } from '../helpers/jobs_table.ts';
import { mailAbout, mailsOf, tokenIn } from '../helpers/mailbox.ts';
import { ADMIN, send, startServer } from '../helpers/server.ts';
import type { Answer, TestServer } from '../helpers/server.ts';
import { sql } from '../helpers/sql.ts';
import { assertEnded, logIn, me, outcome, story } from './story.ts';

const email = 'Ada@Example.com';
const password = 'correct horse';
const NEW = 'a better staple';
const RESET = /^Set a new password$/;
const CONFIRM = /^Confirm/;
const CHANGED = /was changed$/;
const MINUTE = 60_000;

type Post = (target: string, body?: unknown, token?: string) => Promise<Answer>;
const auth = (server: TestServer): Post => (target, body, token) =>
  server.call('POST', `/api/v1/auth/${target}`, { body, token });
const verified = async (server: TestServer, pair: { access_token: string; refresh_token: string }): Promise<boolean> =>
  (await me(server, pair)).json.email_verified;

story('who forgot the password sets a new one with the token from the mail, once', {}, async (server) => {
  const post = auth(server);
  const before = await server.login(email, password);
  const forgot = await post('password/forgot', { email: email.toUpperCase() });
  assert.deepEqual([forgot.status, forgot.text], [202, '']);
  const mail = await mailAbout(server, RESET);
  assert.equal(mail.to, email, 'as it was typed when the account was opened');
  const token = tokenIn(mail);
  assert.ok(mail.text.includes(`curl -X POST http://127.0.0.1:8000/api/v1/auth/password/reset -H`), mail.text);

  assert.equal(outcome(await post('password/reset', { token, new_password: 'x' })), '422 validation_failed');
  assert.equal(outcome(await post('email/verify', { token })), '401 invalid_token', 'it is for one purpose only');
  assert.equal(outcome(await post('password/reset', { token: `${token}A`, new_password: NEW })), '401 invalid_token');
  assert.equal(outcome(await post('password/reset', { token, new_password: NEW })), '204');
  assert.equal(outcome(await post('password/reset', { token, new_password: 'other' })), '401 invalid_token');
  await assertEnded(server, before);
  assert.equal(outcome(await logIn(server, email, password)), '401 invalid_credentials');
  assert.equal(outcome(await logIn(server, email, NEW)), '200');
  const notice = await mailAbout(server, CHANGED);
  assert.equal(notice.to, email);
});

story('20 resets with one token at once: one of them counts', {}, async (server) => {
  const post = auth(server);
  await server.login(email, password);
  await post('password/forgot', { email });
  const token = tokenIn(await mailAbout(server, RESET));
  const passwords = Array.from({ length: 20 }, (_, i) => `password ${i}`);
  const answers = await Promise.all(passwords.map((each) => post('password/reset', { token, new_password: each })));
  const outcomes = answers.map(outcome);
  assert.deepEqual(outcomes.toSorted(), ['204', ...Array(19).fill('401 invalid_token')]);
  for (const [i, each] of passwords.entries()) {
    assert.equal(outcome(await logIn(server, email, each)), outcomes[i] === '204' ? '200' : '401 invalid_credentials');
  }
});

story('a token is good for 30 minutes, or 24 hours, less a millisecond', {}, async (server) => {
  const post = auth(server);
  /** One token is tried before the moment, another at it: what is over may be purged at any time. */
  const tokens = async (subject: RegExp, ask: (address: string) => Promise<unknown>): Promise<[string, string]> => {
    const addresses = ['early@example.com', 'late@example.com'] as const;
    for (const address of addresses) await ask(address);
    await mailAbout(server, subject, 2);
    const [early, late] = addresses.map((each) =>
      tokenIn(mailsOf(server).find(({ subject: about, to }) => subject.test(about) && to.includes(each))!));
    return [early!, late!];
  };
  const resets = await tokens(RESET, async (address) => {
    await server.login(address, password);
    await post('password/forgot', { email: address });
  });
  const verifies = await tokens(CONFIRM, async (address) =>
    post('email/verification', undefined, (await server.login(address, password)).access_token));
  const reset = async (token: string) => outcome(await post('password/reset', { token, new_password: NEW }));
  const verify = async (token: string) => outcome(await post('email/verify', { token }));
  for (const [milliseconds, use, [early, late]] of [
    [30 * MINUTE, reset, resets],
    [23.5 * 60 * MINUTE, verify, verifies],
  ] as const) {
    server.clock.advance(milliseconds - 1);
    assert.equal(await use(early), '204');
    server.clock.advance(1);
    assert.equal(await use(late), '401 invalid_token');
  }
});

story('an address is shown to be its owner’s with the token from the mail, once', {}, async (server) => {
  const post = auth(server);
  const pair = await server.login(email, password);
  assert.equal(await verified(server, pair), false);
  assert.equal(outcome(await post('email/verification')), '401 not_authenticated');
  const asked = await post('email/verification', undefined, pair.access_token);
  assert.deepEqual([asked.status, asked.text], [202, '']);
  const token = tokenIn(await mailAbout(server, CONFIRM));
  assert.equal(outcome(await post('password/reset', { token, new_password: NEW })), '401 invalid_token');
  assert.equal(outcome(await post('email/verify', { token })), '204');
  assert.equal(await verified(server, pair), true);
  assert.equal(outcome(await post('email/verify', { token })), '401 invalid_token');

  await settled(server.folder);
  await passMinute(server.folder);
  assert.equal((await post('email/verification', undefined, pair.access_token)).status, 202);
  await settled(server.folder);
  assert.equal(mailsOf(server).length, 1, 'nothing is left to show');
});

story('an address gets one mail of a kind a minute, however often and in which case it is asked', {}, async (server) => {
  const post = auth(server);
  const pair = await server.login(email, password);
  await server.login('bob@example.com', password);
  const ask = () => Promise.all([
    ...[email, email.toLowerCase(), email.toUpperCase(), 'bob@example.com'].map((each) => post('password/forgot', { email: each })),
    ...[1, 2, 3].map(() => post('email/verification', undefined, pair.access_token)),
  ]);
  const subjects = async (): Promise<string[]> => {
    await settled(server.folder);
    return mailsOf(server).map((mail) => `${mail.to.toLowerCase()}: ${mail.subject}`).sort();
  };
  const expected = ['ada@example.com: Confirm your e-mail address', 'ada@example.com: Set a new password',
    'bob@example.com: Set a new password'];
  for (const { status } of await ask()) assert.equal(status, 202);
  assert.deepEqual(await subjects(), expected);
  for (const { status } of await ask()) assert.equal(status, 202);
  assert.deepEqual(await subjects(), expected);
  await passMinute(server.folder);
  await ask();
  assert.deepEqual(await subjects(), [...expected, ...expected].sort());
});

story('no mail goes to an unknown address or a disabled account', {}, async (server) => {
  const post = auth(server);
  await server.login(email, password);
  const { access_token: token } = await server.loginAdmin();
  const { json } = await server.call('GET', '/api/v1/users?q=ada', { token });
  await server.call('PATCH', `/api/v1/users/${json.items[0].id}`, { token, body: { is_active: false } });
  for (const each of [email, 'nobody@example.com']) {
    const { status, text } = await post('password/forgot', { email: each });
    assert.deepEqual([status, text], [202, '']);
  }
  await settled(server.folder);
  assert.deepEqual(mailsOf(server), []);
  assert.equal(outcome(await post('password/forgot', { email: 'no address' })), '422 validation_failed');
});

story('changing the password sends a notice, and ends the tokens that could have reset it', {}, async (server) => {
  const post = auth(server);
  const { access_token } = await server.login(email, password);
  await post('password/forgot', { email });
  const token = tokenIn(await mailAbout(server, RESET));
  assert.equal((await post('password', { current_password: password, new_password: NEW }, access_token)).status, 204);
  assert.equal(outcome(await post('password/reset', { token, new_password: 'other' })), '401 invalid_token');
  assert.equal((await mailAbout(server, CHANGED)).to, email);
});

story('a token is nowhere but in the mail: the database has its hash, the log nothing', {}, async (server) => {
  const pair = await server.login(email, password);
  await auth(server)('password/forgot', { email });
  await auth(server)('email/verification', undefined, pair.access_token);
  const tokens = [tokenIn(await mailAbout(server, RESET)), tokenIn(await mailAbout(server, CONFIRM))];
  await settled(server.folder);
  const kept = (await sql(server.folder, 'SELECT token_hash FROM account_tokens')).map((row) => row['token_hash']);
  const hashes = tokens.map((token) => createHash('sha256').update(token).digest('base64url'));
  assert.deepEqual(kept.toSorted(), hashes.toSorted());
  const everything = JSON.stringify([await sql(server.folder, 'SELECT * FROM jobs'), server.log()]);
  for (const token of tokens) assert.ok(!everything.includes(token));
});

story('with REQUIRE_VERIFIED_EMAIL only who has confirmed logs in', { REQUIRE_VERIFIED_EMAIL: 'true' }, async (server) => {
  const post = auth(server);
  assert.equal((await post('register', { email, password })).status, 201);
  const first = await mailAbout(server, CONFIRM);
  assert.equal(outcome(await logIn(server, email, 'wrong')), '401 invalid_credentials', 'nothing is told to others');
  assert.equal(outcome(await logIn(server, email, password)), '403 email_unverified');
  await settled(server.folder);
  assert.equal(mailsOf(server).length, 1);
  await passMinute(server.folder);
  server.clock.advance(24 * 60 * MINUTE);
  assert.equal(outcome(await post('email/verify', { token: tokenIn(first) })), '401 invalid_token');
  assert.equal(outcome(await logIn(server, email, password)), '403 email_unverified');
  const second = await mailAbout(server, CONFIRM, 2);
  assert.equal(outcome(await post('email/verify', { token: tokenIn(second) })), '204');
  assert.equal(outcome(await logIn(server, email, password)), '200');
  assert.equal(outcome(await logIn(server, ADMIN.email, ADMIN.password)), '200', 'whoever runs the server vouches');
});

const PRODUCTION = { ENVIRONMENT: 'production', JWT_SECRET: 'Zk3vQ9sLw7TbX1nYp5RcUa8DhJ2mGf4E', MAIL_URL: '' };

story('in production without MAIL_URL what sends mail on request is 503 mail_unavailable', PRODUCTION, async (server) => {
  const post = auth(server);
  const pair = await server.login(email, password);
  for (const answer of [
    await post('password/forgot', { email }),
    await post('email/verification', undefined, pair.access_token),
  ]) {
    assert.deepEqual([outcome(answer), answer.headers['retry-after']], ['503 mail_unavailable', '3600']);
  }
  const change = { current_password: password, new_password: NEW };
  assert.equal((await post('password', change, pair.access_token)).status, 204);
  assert.deepEqual(await sql(server.folder, 'SELECT kind FROM jobs'), []);
});

test('in production REQUIRE_VERIFIED_EMAIL needs MAIL_URL', async () => {
  await assert.rejects(startServer({ ...PRODUCTION, REQUIRE_VERIFIED_EMAIL: 'true' }), /^Error: REQUIRE_VERIFIED_EMAIL: needs mail/);
});

story('MAIL_URL=log: writes the mail, token and all, to the log', { MAIL_URL: 'log:' }, async (server) => {
  const post = auth(server);
  await server.login(email, password);
  await post('password/forgot', { email });
  await settled(server.folder);
  const { msg } = server.log().find((line) => String(line['msg']).includes('Subject: Set a new password'))!;
  const token = /^[\w-]{43}$/m.exec(msg)![0];
  assert.equal(outcome(await post('password/reset', { token, new_password: NEW })), '204');
});

/** A database that notes what is asked of it: the SQL, what changes how many rows, the length of what is bound. */
function watched(db: Database, seen: string[]): Database {
  const shape = ({ sql: text, params, changes }: Statement): string =>
    `${text} ${params.map((param) => (typeof param === 'string' ? param.length : typeof param))} ${changes}`;
  return {
    ...db,
    one: (text, params) => (seen.push(shape({ sql: text, params })), db.one(text, params)),
    all: (text, params) => (seen.push(shape({ sql: text, params })), db.all(text, params)),
    write(statements) {
      seen.push(...statements.map(shape));
      return db.write(statements);
    },
  };
}

test('for a known and an unknown address a forgotten password costs the request the same reads and writes', async () => {
  const env = { DATABASE_URL: 'sqlite::memory:', SCRYPT_LOG2_N: '4' };
  const loaded = loadConfig({ env, envFile: undefined, flags: {}, readFile: () => '' });
  assert.ok('config' in loaded);
  const seen: string[] = [];
  const db = watched(await openDatabase(loaded.config, { monotonic: () => 0 }), seen);
  const log = createLog({ level: 'error', format: 'json', color: false, now: Date.now, sink: { write: () => true, flushSync() {} } });
  const parts = { config: loaded.config, version: '0', keys: ['k'.repeat(32)], db, log, now: Date.now, monotonic: () => 0 };
  const application = await createApp({ ...parts, sharedBuckets: undefined });
  await application.prepare();
  const port = await application.server.listen({ host: '127.0.0.1', port: 0 });
  try {
    const known = { email: 'known@example.com', password };
    assert.equal((await send(port, 'POST', '/api/v1/auth/register', { body: known })).status, 201);
    const forget = async (address: string): Promise<string[]> => {
      seen.length = 0;
      const { status } = await send(port, 'POST', '/api/v1/auth/password/forgot', { body: { email: address } });
      assert.equal(status, 202);
      return [...seen];
    };
    const [first, unknown, again] = [await forget(known.email), await forget('other@example.com'), await forget(known.email)];
    assert.equal(first.length, 1);
    assert.deepEqual(first, unknown);
    assert.deepEqual(first, again, 'also within the minute');
  } finally {
    await application.stop();
  }
});
