import assert from 'node:assert/strict';

import { ADMIN, startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';
import { changePassword, logIn, logout, me, outcome, refreshed, story } from './story.ts';
import type { Pair } from './story.ts';

story('passwords are hashed again at login when the cost of hashes changes, parallel logins too', {}, async (first) => {
  await first.login();
  const dearer = await startServer({ SCRYPT_LOG2_N: '5' }, { folder: first.folder });
  try {
    const again = Array.from({ length: 6 }, () => logIn(dearer, 'ada@example.com', 'correct horse'));
    const logins = await Promise.all(again);
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
    const settings = { FIRST_ADMIN_EMAIL: email, FIRST_ADMIN_PASSWORD: 'guess me' };
    const again = await startServer(settings, { folder: server.folder });
    try {
      assert.equal(outcome(await logIn(again, email, 'guess me')), '401 invalid_credentials');
    } finally {
      await again.close();
    }
  }
  assert.equal(outcome(await logIn(server, ADMIN.email, 'another horse')), '200');
  assert.equal((await me(server, await server.login())).json.role, 'user');
});

story(
  'tokens of an older key are good for as long as it is listed',
  { JWT_SECRET: 'old-key-'.repeat(5) },
  async (server) => {
    const pair = await server.login();
    const secret = { JWT_SECRET: 'new-key-'.repeat(5) };
    const restart = async (settings: Record<string, string>, tell: (again: TestServer) => Promise<void>) => {
      const again = await startServer(settings, { folder: server.folder, clock: server.clock });
      await tell(again).finally(() => again.close());
    };
    let next: Pair | undefined;
    const previous = { JWT_SECRET_PREVIOUS: `${'older-key-'.repeat(4)},${'old-key-'.repeat(5)}` };
    await restart({ ...secret, ...previous }, async (again) => {
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
  },
);

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
