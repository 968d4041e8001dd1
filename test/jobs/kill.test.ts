import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { allDue, jobRows, settled } from '../helpers/jobs_table.ts';
import { eventually, mailAbout, tokenIn } from '../helpers/mailbox.ts';
import { ROOT, startProgram } from '../helpers/program.ts';
import type { Program } from '../helpers/program.ts';
import { ADMIN, send } from '../helpers/server.ts';
import { startRude } from '../helpers/smtp_rude.ts';
import { sql } from '../helpers/sql.ts';
import { addUsers } from '../helpers/users_table.ts';

const SETTINGS = {
  ...{ SCRYPT_LOG2_N: '4', SCRYPT_P: '1', RATE_LIMIT_DEFAULT: '10000/1s', SHUTDOWN_TIMEOUT: '1s' },
  ...{ DATABASE_URL: 'sqlite:app.db', FIRST_ADMIN_EMAIL: ADMIN.email, FIRST_ADMIN_PASSWORD: ADMIN.password },
};

type Start = (more?: Record<string, string>) => Promise<Program>;

async function kill({ child }: Program): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** A story of programs that share a folder; none of them outlives it. */
async function inFolder(story: (folder: string, start: Start) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'jobs-kill-'));
  const programs: Program[] = [];
  try {
    await story(folder, async (more = {}) => {
      const program = await startProgram([path.join(ROOT, 'src/main.ts')], folder, { ...SETTINGS, ...more });
      programs.push(program);
      return program;
    });
  } finally {
    for (const { child } of programs) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

/** State and attempts of the mail's job; a server that has run for five seconds has another. */
async function deliveryIn(folder: string): Promise<unknown[]> {
  const { state, attempts } = (await jobRows(folder)).find(({ kind }) => kind === 'mail.deliver')!;
  return [state, attempts];
}

test('a mail whose server was killed while it went out is delivered by the next', () => inFolder(async (folder, start) => {
  const silent = await startRude({ content: undefined });
  const first = await start({ MAIL_URL: `smtp://127.0.0.1:${silent.port}` });
  const { status } = await send(first.port, 'POST', '/api/v1/auth/password/forgot', { body: { email: ADMIN.email } });
  assert.equal(status, 202);
  await eventually('the mail at the silent server', () => (silent.heard.includes('.') ? true : undefined));
  await kill(first);
  await silent.close();
  assert.deepEqual(await deliveryIn(folder), ['running', 1]);

  await allDue(folder);
  const second = await start({ MAIL_URL: `file:${path.join(folder, 'mail')}` });
  const token = tokenIn(await mailAbout({ folder }, /new password/));
  await settled(folder);
  assert.deepEqual(await deliveryIn(folder), ['done', 2]);
  const body = { token, new_password: 'another one' };
  assert.equal((await send(second.port, 'POST', '/api/v1/auth/password/reset', { body })).status, 204);
  assert.equal((await second.stop()).code, 0);
}));

/** Holds the write lock as soon as an export is between two pages, kills the server, and says how far it was. */
async function killBetweenPages(folder: string, program: Program): Promise<number | undefined> {
  const db = new DatabaseSync(path.join(folder, 'app.db'), { timeout: 30_000 });
  try {
    for (;;) {
      db.exec('BEGIN IMMEDIATE');
      const row = db.prepare('SELECT chunks, finished_at FROM exports').get();
      if (row?.['finished_at']) return undefined;
      if (Number(row?.['chunks'] ?? 0) > 0) {
        await kill(program);
        return Number(row!['chunks']);
      }
      db.exec('ROLLBACK');
      await sleep(1);
    }
  } finally {
    db.close();
  }
}

test('an export of 2,500 users goes on where it was when the server was killed', () => inFolder(async (folder, start) => {
  let pages: number | undefined;
  let program = await start();
  await addUsers(folder, 2_500);
  const { json: admin } = await send(program.port, 'POST', '/api/v1/auth/login', { body: ADMIN });
  for (let round = 0; pages === undefined && round < 20; round++) {
    await sql(folder, 'DELETE FROM exports');
    const created = await send(program.port, 'POST', '/api/v1/admin/exports', { token: admin.access_token });
    assert.equal(created.status, 202);
    pages = await killBetweenPages(folder, program);
  }
  assert.ok(pages !== undefined && pages < 11, 'it was killed in the middle');
  const [before] = await sql(folder, 'SELECT id, chunks, rows_written FROM exports');
  assert.deepEqual([before!['chunks'], before!['rows_written']], [pages, pages * 250]);

  await allDue(folder);
  program = await start();
  await settled(folder);
  const { json: pair } = await send(program.port, 'POST', '/api/v1/auth/login', { body: ADMIN });
  const file = await send(program.port, 'GET', `/api/v1/admin/exports/${before!['id']}/file`, { token: pair.access_token });
  const emails = file.text.split('\r\n').slice(1, -1).map((line) => line.split(',')[1]);
  assert.deepEqual(emails, [...Array.from({ length: 2_500 }, (_, i) => `u${i}@example.com`), ADMIN.email]);
  const job = (await jobRows(folder)).find(({ id }) => id === before!['id']);
  assert.deepEqual([job!.state, job!.attempts], ['done', 2]);
  assert.equal((await program.stop()).code, 0);
}));

test('a stop in the middle of a mail ends in time, and the mail stays for the next start', () => inFolder(async (folder, start) => {
  const silent = await startRude({ content: undefined });
  const program = await start({ MAIL_URL: `smtp://127.0.0.1:${silent.port}` });
  await send(program.port, 'POST', '/api/v1/auth/password/forgot', { body: { email: ADMIN.email } });
  await eventually('the mail at the silent server', () => (silent.heard.includes('.') ? true : undefined));
  const { code, stderr } = await program.stop();
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(await deliveryIn(folder), ['queued', 0]);
  await silent.close();
}));
