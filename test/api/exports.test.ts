import assert from 'node:assert/strict';

import { allDue, settled } from '../helpers/jobs_table.ts';
import { eventually } from '../helpers/mailbox.ts';
import type { Answer, TestServer } from '../helpers/server.ts';
import { sql } from '../helpers/sql.ts';
import { addUsers } from '../helpers/users_table.ts';
import { outcome, story } from './story.ts';

const EXPORTS = '/api/v1/admin/exports';
const HEADER = 'id,email,email_verified,full_name,role,is_active,created_at,updated_at';

const asAdmin = async (server: TestServer) => {
  const { access_token: token } = await server.loginAdmin();
  return (method: string, target: string): Promise<Answer> => server.call(method, `${EXPORTS}${target}`, { token });
};

story('all users are exported as CSV: asked for, looked at, fetched', {}, async (server) => {
  const names = ['Ada', '=cmd|calc', '+1', '-1', '@x', 'a "b", c', 'Zoë 🦆'];
  await addUsers(server.folder, 2_500, (i) => names[i % names.length]!);
  const call = await asAdmin(server);
  const created = await call('POST', '');
  assert.deepEqual([created.status, created.json.rows_total], [202, 2_501]);
  const { id } = created.json;
  assert.equal(created.headers.location, `${EXPORTS}/${id}`);
  const done = await eventually('the end of the export', async () => {
    const { json } = await call('GET', `/${id}`);
    return json.state === 'done' ? json : undefined;
  });
  const file = await call('GET', `/${id}/file`);
  assert.equal(file.status, 200);
  assert.equal(file.headers['content-type'], 'text/csv; charset=utf-8');
  assert.match(file.headers['content-disposition']!, /^attachment; filename="users-2026-01-31\.csv"$/);
  assert.equal(file.headers['cache-control'], 'no-store');
  assert.deepEqual([done.rows_written, done.bytes], [2_501, Buffer.byteLength(file.text)]);
  assert.ok(file.text.endsWith('\r\n'));
  const lines = file.text.split('\r\n').slice(0, -1);
  assert.equal(lines[0], HEADER);
  assert.match(lines[1]!, /^[0-9a-f-]{36},admin@example\.com,true,,admin,true,2026-01-31T12:00:00\.250Z,/);
  const expected = ['Ada', "'=cmd|calc", "'+1", "'-1", "'@x", '"a ""b"", c"', 'Zoë 🦆'];
  for (let i = 0; i < 2_500; i++) {
    const [, rest = ''] = lines[i + 2]!.split(`,u${i}@example.com,false,`);
    assert.ok(rest.startsWith(`${expected[i % expected.length]},user,true,2026-03-01T`), lines[i + 2]);
  }
  assert.equal(lines.length, 2_502);
  assert.ok(!file.text.includes('password'));
  const events = server.log().map((line) => line['event']).filter((event) => /^admin\.export/.test(event));
  assert.deepEqual(events, ['admin.export_created', 'admin.export_read']);
  const head = await call('HEAD', `/${id}/file`);
  assert.deepEqual([head.status, head.text], [200, '']);

  server.clock.advance(24 * 3_600_000);
  const later = await asAdmin(server);
  assert.equal(outcome(await later('GET', `/${id}`)), '404 not_found', 'kept for a day');
  assert.equal(outcome(await later('GET', `/${id}/file`)), '404 not_found');
});

story('an export is for administrators, and its file is there when it is finished', {}, async (server) => {
  const { access_token: token } = await server.login();
  const call = await asAdmin(server);
  const { json: { id } } = await call('POST', '');
  await settled(server.folder);
  for (const [method, target] of [['POST', ''], ['GET', `/${id}`], ['GET', `/${id}/file`]] as const) {
    assert.equal(outcome(await server.call(method, `${EXPORTS}${target}`, { token })), '403 forbidden');
    assert.equal(outcome(await server.call(method, `${EXPORTS}${target}`)), '401 not_authenticated');
  }
  assert.equal(outcome(await call('GET', '/0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21/file')), '404 not_found');
  await sql(server.folder, 'UPDATE exports SET finished_at = NULL');
  for (const [state, shown] of [['queued', 'queued'], ['running', 'running'], ['dead', 'failed']] as const) {
    await sql(server.folder, `UPDATE jobs SET state = $1, run_at = 9000000000000000, finished_at = 1`, state);
    assert.equal((await call('GET', `/${id}`)).json.state, shown);
    assert.equal(outcome(await call('GET', `/${id}/file`)), '409 export_unfinished');
  }
});

story('ten exports are kept, the newest', {}, async (server) => {
  const call = await asAdmin(server);
  const ids: string[] = [];
  for (let i = 0; i < 12; i++) {
    server.clock.advance(1);
    ids.push((await call('POST', '')).json.id);
  }
  const statuses: number[] = [];
  for (const id of ids) statuses.push((await call('GET', `/${id}`)).status);
  assert.deepEqual(statuses, [404, 404, ...Array(10).fill(200)]);
});

story('whoever asks for an export is told of it, however many are asked for at once', {}, async (server) => {
  const call = await asAdmin(server);
  const answers = await Promise.all(Array.from({ length: 30 }, () => call('POST', '')));
  assert.deepEqual(answers.map(outcome), Array(30).fill('202'));
  assert.equal(new Set(answers.map(({ json }) => json.id)).size, 30);
  const found = await Promise.all(answers.map(({ json }) => call('GET', `/${json.id}`)));
  assert.equal(found.filter(({ status }) => status === 200).length, 10);
});

story('an export goes on behind the last page that was written', {}, async (server) => {
  await addUsers(server.folder, 1_000);
  const call = await asAdmin(server);
  const { json: { id } } = await call('POST', '');
  await settled(server.folder);
  const whole = (await call('GET', `/${id}/file`)).text;
  // As a crash after the second page would have left it.
  const [page] = await sql(server.folder, 'SELECT content FROM export_chunks WHERE seq = 1');
  const last = page!['content'].trimEnd().split('\r\n').at(-1).split(',')[0];
  await sql(server.folder, 'DELETE FROM export_chunks WHERE seq > 1');
  await sql(server.folder, `UPDATE exports SET chunks = 2, rows_written = 500, finished_at = NULL, last_user_id = $1,
    bytes_written = (SELECT sum(length(content)) FROM export_chunks)`, last);
  await sql(server.folder, "UPDATE export_chunks SET content = content || '(kept)' WHERE seq = 1");
  await sql(server.folder, "UPDATE jobs SET state = 'running', claim = 'gone', finished_at = NULL");
  await allDue(server.folder);
  await call('POST', ''); // Wakes the worker.
  await settled(server.folder);
  const resumed = await call('GET', `/${id}/file`);
  assert.equal(resumed.text.replace('(kept)', ''), whole);
  assert.ok(resumed.text.includes('(kept)'), 'the pages before were not written again');
  assert.equal((await call('GET', `/${id}`)).json.rows_written, 1_001);
});
