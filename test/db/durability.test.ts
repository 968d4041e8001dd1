import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';

import { ROOT, startProgram } from '../helpers/program.ts';
import { send } from '../helpers/server.ts';
import type { Answer } from '../helpers/server.ts';

const SETTINGS = {
  ...{ SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1', SCRYPT_CONCURRENCY: '1' },
  ...{ RATE_LIMIT_DEFAULT: '1000000/1s', RATE_LIMIT_LOGIN: '1000000/1s', RATE_LIMIT_LOGIN_FAILURES: '1000000/1s' },
};
/** A refresh whose answer was lost in a kill names its successor for longer than the test takes. */
const REUSE = { REFRESH_TOKEN_REUSE_INTERVAL: '1h' };
const PASSWORD = 'correct horse';
const KILLS = 4;

/** What the server has acknowledged. */
interface Acknowledged {
  emails: string[];
  /** By client, the tokens that it was given last. */
  pairs: Map<string, { access_token: string; refresh_token: string }>;
  /** Users whose name was set, and to what. */
  names: Map<string, string>;
}

test('whatever was acknowledged outlives a kill at any moment, nothing is half there, and sessions go on', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-durability-'));
  const start = async () => {
    const program = await startProgram([path.join(ROOT, 'src/main.ts')], folder, { ...SETTINGS, ...REUSE });
    after(() => void program.child.kill('SIGKILL')); // A failed test must not wait for it.
    return program;
  };
  const known: Acknowledged = { emails: [], pairs: new Map(), names: new Map() };
  try {
    for (let round = 0; round < KILLS; round++) {
      const { child, port } = await start();
      const exited = once(child, 'exit');
      let left = 20 + Math.floor(Math.random() * 150);
      const acknowledge = (): void => {
        if (--left === 0) child.kill('SIGKILL');
      };
      const clients = Array.from({ length: 6 }, (_, i) => hammer(port, `${round}-${i}`, known, acknowledge));
      await Promise.all([exited, ...clients]);
      checkFile(path.join(folder, 'data/app.db'), known);
    }
    const server = await start();
    for (const [email, { access_token: token, refresh_token }] of known.pairs) {
      const me = await send(server.port, 'GET', '/api/v1/users/me', { token });
      assert.equal(me.status, 200, `the session of ${email} goes on`);
      const refreshed = await post(server.port, 'refresh', { refresh_token });
      assert.equal(refreshed.status, 200, `its last token is good: ${refreshed.text}`);
    }
    for (const email of known.emails.slice(-20)) {
      assert.equal((await post(server.port, 'register', { email, password: PASSWORD })).status, 409);
      assert.equal((await post(server.port, 'login', { email, password: PASSWORD })).status, 200);
    }
    assert.deepEqual(await server.stop(), { code: 0, stderr: '' });
    checkFile(path.join(folder, 'data/app.db'), known);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const post = (port: number, route: string, body: unknown): Promise<Answer> =>
  send(port, 'POST', `/api/v1/auth/${route}`, { body });

/** Registers, logs in, refreshes and renames until the server is gone. */
async function hammer(port: number, client: string, known: Acknowledged, acknowledge: () => void): Promise<void> {
  const must = async (status: number, answer: Promise<Answer>): Promise<any> => {
    const got = await answer;
    assert.equal(got.status, status, got.text);
    return got.json;
  };
  try {
    for (let i = 0; ; i++) {
      const email = `${client}-${i}@example.com`;
      await must(201, post(port, 'register', { email, password: PASSWORD }));
      known.emails.push(email);
      acknowledge();
      let pair = await must(200, post(port, 'login', { email, password: PASSWORD }));
      known.pairs.set(email, pair);
      acknowledge();
      for (let step = 0; step < 3; step++) {
        pair = await must(200, post(port, 'refresh', { refresh_token: pair.refresh_token }));
        known.pairs.set(email, pair);
        acknowledge();
      }
      const body = { full_name: `name of ${email}` };
      await must(200, send(port, 'PATCH', '/api/v1/users/me', { token: pair.access_token, body }));
      known.names.set(email, body.full_name);
      acknowledge();
    }
  } catch (error) {
    if (!['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes((error as NodeJS.ErrnoException).code!)) throw error;
  }
}

function checkFile(file: string, { emails, pairs, names }: Acknowledged): void {
  const database = new DatabaseSync(file);
  const column = (sql: string): unknown[] => database.prepare(sql).all().map((row) => Object.values(row)[0]);
  assert.deepEqual(column('PRAGMA integrity_check'), ['ok']);
  assert.deepEqual(column('PRAGMA foreign_key_check'), []);
  const users = new Map(database.prepare('SELECT email, full_name FROM users').all().map((row) => [row['email'], row]));
  for (const email of emails) assert.ok(users.has(email), `${email} was acknowledged`);
  for (const [email, name] of names) assert.equal(users.get(email)?.['full_name'], name);
  const tokens = new Set(column('SELECT refresh_jti FROM sessions UNION SELECT previous_jti FROM sessions'));
  for (const [email, { refresh_token }] of pairs) {
    const { jti } = JSON.parse(Buffer.from(refresh_token.split('.')[1]!, 'base64url').toString());
    assert.ok(tokens.has(jti), `the last token of ${email} was acknowledged`);
  }
  database.close();
}
