import assert from 'node:assert/strict';
import { test } from 'node:test';

import { challengeOf, codes, statusOf } from '../../src/core/errors.ts';
import { ADMIN, startServer } from '../helpers/server.ts';

test('every 401 and every 403 says what it wants in WWW-Authenticate, and nothing else does', () => {
  for (const code of codes) {
    const status = statusOf(code);
    if (status === 401) assert.match(challengeOf(code)!, /^Bearer realm="api"(, error="invalid_token")?$/, code);
    else if (status === 403) assert.equal(challengeOf(code), 'Bearer realm="api", error="insufficient_scope"', code);
    else assert.equal(challengeOf(code), undefined, code);
  }
});

test('a disabled account is refused like any other who may not', async () => {
  const server = await startServer();
  try {
    const { access_token: token } = await server.loginAdmin();
    const ada = { email: 'ada@example.com', password: 'correct horse' };
    const { json } = await server.call('POST', '/api/v1/auth/register', { body: ada });
    await server.call('PATCH', `/api/v1/users/${json.id}`, { token, body: { is_active: false } });
    const refused = await server.call('POST', '/api/v1/auth/login', { body: ada });
    assert.equal(refused.status, 403);
    assert.match(refused.headers['www-authenticate']!, /error="insufficient_scope"/);
    const wrong = await server.call('POST', '/api/v1/auth/login', { body: { ...ADMIN, password: 'wrong' } });
    assert.doesNotMatch(wrong.headers['www-authenticate']!, /error/);
  } finally {
    await server.close();
  }
});
