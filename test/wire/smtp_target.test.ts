import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { toSmtpTarget } from '../../src/wire/smtp_target.ts';

const password = 'hunter2-hunter2';

describe('a target', () => {
  const targets: [string, ReturnType<typeof toSmtpTarget>][] = [
    ['smtp://mail.example.org', { host: 'mail.example.org', port: 587, implicitTls: false }],
    ['smtps://mail.example.org/', { host: 'mail.example.org', port: 465, implicitTls: true }],
    ['smtp://[::1]:2525', { host: '::1', port: 2525, implicitTls: false }],
    [
      'smtp://me%40example.org:p%C3%A4ss%3Aw%25rd@127.0.0.1:25',
      {
        host: '127.0.0.1',
        port: 25,
        implicitTls: false,
        credentials: { user: 'me@example.org', password: 'päss:w%rd' },
      },
    ],
  ];
  for (const [url, target] of targets) {
    test(`${url} says where and as whom`, () => assert.deepEqual(toSmtpTarget(url), target));
  }

  test('is refused when malformed, without a word of the URL in the error', () => {
    for (const url of [
      `smtp://u:${password}@`, `http://u:${password}@h`, `smtp://u:${password}@h:99999`, `smtp://u:${password}@h:0`,
      `smtp://u:${password}@h/path`, `smtp://u:${password}@h?x=1`, `smtp://u:${password}@h#x`, `smtp://:${password}@h`,
      `smtp://u:${password}%ff@h`, `smtp://u%0d%0a:${password}@h`, `smtp://u:${password}%00@h`, 'smtp://u@h',
      `smtp://u:${password}@a%0d%0ab`, `smtp://u:${password}@a..b`, `smtp://u:${password}${'x'.repeat(5000)}@h`, '',
    ]) {
      assert.throws(() => toSmtpTarget(url), (error: Error) => !inspect(error).includes(password), url);
    }
  });
});
