import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually } from '../helpers/mailbox.ts';
import { ADMIN, startServer } from '../helpers/server.ts';

test('with MAIL_URL=log: the mail is in the log at every LOG_LEVEL', async () => {
  const server = await startServer({ LOG_LEVEL: 'error', MAIL_URL: 'log:' });
  try {
    const { status } = await server.call('POST', '/api/v1/auth/password/forgot', { body: { email: ADMIN.email } });
    assert.equal(status, 202);
    const mail = await eventually('a mail in the log', () => server.log()[0]);
    assert.match(mail['msg'], /Set a new password[^]*\n[\w-]{43}\n/);
  } finally {
    await server.close();
  }
});
