import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startServer } from './helpers/server.ts';

test('a person opens an account, logs in and sees it', async () => {
  const server = await startServer();
  try {
    const account = { email: 'a@a.com', full_name: 'Alice', password: 'pass' };
    const registered = await server.call('POST', '/api/v1/auth/register', { body: account });
    assert.equal(registered.status, 201);
    const { access_token: token } = await server.login('a@a.com', 'pass');
    const me = await server.call('GET', '/api/v1/users/me', { token });
    assert.equal(me.status, 200);
    assert.deepEqual(me.json, registered.json);
  } finally {
    await server.close();
  }
});
