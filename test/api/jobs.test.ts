import assert from 'node:assert/strict';
import { test } from 'node:test';

import { uuidv7 } from '../../src/core/uuid.ts';
import { jobRows, settled } from '../helpers/jobs_table.ts';
import { eventually, toReceived, tokenIn } from '../helpers/mailbox.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';
import { sql, sqlEach } from '../helpers/sql.ts';
import { startRude } from '../helpers/smtp_rude.ts';
import type { Manners, Rude } from '../helpers/smtp_rude.ts';
import { logIn, outcome, story } from './story.ts';

const email = 'ada@example.com';
const password = 'correct horse';
const JOBS = '/api/v1/admin/jobs';

/** A test with a server whose mail goes to a small SMTP server. */
function mailStory(title: string, manners: Manners, tell: (server: TestServer, mail: Rude) => Promise<void>): void {
  test(title, async () => {
    const mail = await startRude(manners);
    const server = await startServer({
      MAIL_URL: `smtp://127.0.0.1:${mail.port}`, MAIL_FROM: 'Us <us@example.org>', PUBLIC_URL: 'https://api.example.org/',
    });
    try {
      await tell(server, mail);
    } finally {
      await server.close();
      await mail.close();
    }
  });
}

const forget = (server: TestServer) => server.call('POST', '/api/v1/auth/password/forgot', { body: { email } });
const listed = async (server: TestServer, query = '') => {
  const { access_token: token } = await server.loginAdmin();
  return (await server.call('GET', `${JOBS}${query}`, { token })).json;
};
/** The messages among all that was heard, without the commands before them. */
const messages = ({ heard }: Rude): string[] =>
  heard.join('\r\n').split(/\r\n\.(?:\r\n|$)/).slice(0, -1).map((text) => text.slice(text.indexOf('DATA\r\n') + 6));

mailStory('a mail goes out by SMTP, from us and with our address in it', {}, async (server, mail) => {
  await server.login(email, password);
  await forget(server);
  await settled(server.folder);
  const [message = ''] = messages(mail);
  const received = toReceived(message);
  assert.ok(mail.heard.includes('EHLO api.example.org'));
  assert.ok(mail.heard.some((line) => line.startsWith('MAIL FROM:<us@example.org>')));
  assert.match(received.id, /^<[0-9a-f-]{36}@api\.example\.org>$/);
  assert.ok(received.text.includes('curl -X POST https://api.example.org/api/v1/auth/password/reset '), received.text);
  const body = { token: tokenIn(received), new_password: 'another' };
  assert.equal((await server.call('POST', '/api/v1/auth/password/reset', { body })).status, 204);
  assert.equal(outcome(await logIn(server, email, 'another')), '200');
});

const busy: Manners = {
  content(socket) {
    delete busy.content;
    socket.write('451 later\r\n');
  },
};
mailStory('a mail server that is not ready is asked again, under one Message-ID and date', busy, async (server, mail) => {
  await server.login(email, password);
  await forget(server);
  // The pause is a second; nothing here wakes the worker.
  const [job] = await settled(server.folder);
  assert.deepEqual([job!.state, job!.attempts], ['done', 2]);
  const retried = server.log().filter(({ msg }) => msg === 'job retried');
  const why = retried.map(({ attempt, error }) => [attempt, error.message]);
  assert.deepEqual(why, [[1, 'SMTP content: the server answered 451']]);
  const [first, second] = messages(mail).map((message) => toReceived(message));
  assert.equal(first!.id, second!.id);
  const dates = messages(mail).map((message) => /^Date: .*$/m.exec(message)![0]);
  assert.equal(dates[0], dates[1]);
  assert.notEqual(tokenIn(first!), tokenIn(second!), 'no attempt remembers a token');
  for (const [received, status] of [[first!, 204], [second!, 401]] as const) {
    const body = { token: tokenIn(received), new_password: 'another' };
    assert.equal((await server.call('POST', '/api/v1/auth/password/reset', { body })).status, status);
  }
});

const refusing: Manners = { recipient: '550 5.1.1 nobody here\r\n' };
mailStory('a mail that is refused for good is dead at once, is listed, and goes out when retried', refusing, async (server, mail) => {
  await server.login(email, password);
  await forget(server);
  const [dead] = await settled(server.folder);
  assert.equal(dead!.attempts, 1);
  const { items } = await listed(server, '?state=dead');
  assert.equal(items.length, 1);
  const { id, run_at: runAt, created_at: createdAt, finished_at: finishedAt, ...rest } = items[0];
  assert.deepEqual(rest, {
    kind: 'mail.deliver', state: 'dead', attempts: 1, last_error: 'SMTP recipient: the server answered 550 5.1.1',
  });
  assert.ok(id === dead!.id && runAt && createdAt && finishedAt);
  assert.deepEqual((await listed(server, '?state=done')).items, []);
  delete refusing.recipient;

  const { access_token: token } = await server.loginAdmin();
  const retry = (which: string) => server.call('POST', `${JOBS}/${which}/retry`, { token });
  const retried = await retry(id);
  assert.deepEqual([retried.status, retried.json.state, retried.json.attempts], [200, 'queued', 0]);
  await settled(server.folder);
  assert.equal(messages(mail).length, 1);
  assert.equal((await retry(id)).json.state, 'done', 'a second time changes nothing');
  assert.equal(messages(mail).length, 1);
  assert.equal(outcome(await retry('0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21')), '404 not_found');
  assert.equal(outcome(await retry('x')), '400 invalid_parameter');
  const event = server.log().find((line) => line['event'] === 'admin.job_retried');
  assert.deepEqual([event?.['job_id'], event?.['kind']], [id, 'mail.deliver']);
});

const credentials: Manners = { ehlo: '250-rude\r\n250 AUTH PLAIN\r\n' };
test('a password that the mail server does not take, or may not see, is no reason to give up', async () => {
  const mail = await startRude(credentials);
  const server = await startServer({ MAIL_URL: `smtp://user:hunter2-hunter2@127.0.0.1:${mail.port}` });
  try {
    await server.login(email, password);
    await forget(server);
    const job = await eventually('a job that waits after a failure', async () =>
      (await jobRows(server.folder)).find(({ state, last_error: error }) => state === 'queued' && error !== null));
    assert.equal(job.last_error, 'SMTP auth: the password is not sent without TLS');
    assert.ok(!JSON.stringify(server.log()).includes('hunter2'));
  } finally {
    await server.close();
    await mail.close();
  }
});

story('jobs are listed newest first, by pages, to administrators', {}, async (server) => {
  await server.login(email, password);
  const insert = `INSERT INTO jobs (id, kind, payload, state, attempts, run_at, created_at, finished_at)
    VALUES ($1, 'greet', '{"mail":"secret of a person"}', 'done', 1, 1, 1, 1)`;
  const ids = Array.from({ length: 120 }, (_, i) => `0190a5d2-7c4b-7def-8a3b-${String(i).padStart(12, '0')}`);
  await sqlEach(server.folder, insert, ids.map((id) => [id]));
  const seen: string[] = [];
  const sizes: number[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page = await listed(server, `?state=done${cursor === '' ? '' : `&cursor=${cursor}`}`);
    assert.ok(!JSON.stringify(page).includes('secret'), 'payloads stay inside');
    seen.push(...page.items.map((item: { id: string }) => item.id));
    sizes.push(page.items.length);
    cursor = page.next_cursor;
  }
  assert.deepEqual(sizes, [50, 50, 20]);
  assert.deepEqual(seen, ids.toReversed());

  const { access_token: token } = await server.login(email, password);
  assert.equal(outcome(await server.call('GET', JOBS, { token })), '403 forbidden');
  assert.equal(outcome(await server.call('GET', JOBS)), '401 not_authenticated');
  const admin = (await server.loginAdmin()).access_token;
  for (const [query, expected] of [['?state=x', '400 invalid_parameter'], ['?cursor=x', '400 invalid_cursor']] as const) {
    assert.equal(outcome(await server.call('GET', `${JOBS}${query}`, { token: admin })), expected);
  }
});

story('jobs are counted by kind and outcome', {}, async (server) => {
  await server.login(email, password);
  await forget(server);
  await settled(server.folder);
  const counted = await eventually('a count', async () => {
    const { text } = await server.call('GET', '/metrics');
    return /^jobs_total\{kind="mail\.deliver",outcome="done"\} (\d+)$/m.exec(text)?.[1];
  });
  assert.equal(counted, '1');
});

story('what is over is forgotten, and nothing else', {}, async (server) => {
  const minute = 60_000;
  const day = 1440 * minute;
  const ada = await server.login(email, password);
  await forget(server);
  await server.call('POST', '/api/v1/auth/email/verification', { token: ada.access_token });
  await server.call('POST', '/api/v1/admin/exports', { token: (await server.loginAdmin()).access_token });
  await settled(server.folder);
  /** What is left of Ada's sessions, tokens, exports, their chunks, and jobs, after a purge. */
  const left = async (): Promise<unknown[]> => {
    const id = uuidv7(0);
    await sql(server.folder, `INSERT INTO jobs (id, kind, payload, state, attempts, run_at, created_at, finished_at)
      VALUES ($1, 'purge.expired', '{}', 'dead', 3, 0, 0, $2)`, id, Date.now());
    const { access_token: token } = await server.loginAdmin();
    await server.call('POST', `${JOBS}/${id}/retry`, { token });
    await settled(server.folder);
    await sql(server.folder, "DELETE FROM jobs WHERE kind = 'purge.expired'");
    const ofAda = 'sessions JOIN users ON users.id = user_id WHERE email_key = \'ada@example.com\'';
    const counted = [ofAda, 'account_tokens', 'exports', 'export_chunks', 'jobs']
      .map(async (rows) => (await sql(server.folder, `SELECT count(*) AS n FROM ${rows}`))[0]!['n']);
    return Promise.all(counted);
  };
  assert.deepEqual(await left(), [1, 2, 1, 1, 3]);
  server.clock.advance(30 * minute);
  assert.deepEqual(await left(), [1, 1, 1, 1, 3], 'the token that resets a password');
  server.clock.advance(day);
  assert.deepEqual(await left(), [1, 0, 0, 0, 3], 'the other token, and the export');
  await sql(server.folder, 'UPDATE jobs SET finished_at = finished_at - 3600001');
  assert.deepEqual(await left(), [1, 0, 0, 0, 0], 'jobs that were done an hour ago');
  server.clock.advance(29 * day);
  assert.deepEqual(await left(), [0, 0, 0, 0, 0], 'the session');
});
