import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReplyReader } from '../../src/wire/smtp_reply.ts';
import type { Reply } from '../../src/wire/smtp_reply.ts';

describe('a reply', () => {
  const read = (text: string, size: number): Reply | undefined => {
    const reader = new ReplyReader();
    const bytes = Buffer.from(text, 'latin1');
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
    return reader.take();
  };
  const replies: [string, Reply | undefined][] = [
    ['250 ok\r\n', { code: 250, lines: ['ok'] }],
    ['250\r\n', { code: 250, lines: [''] }],
    ['250-a\r\n250-\r\n250 c\td\r\n', { code: 250, lines: ['a', '', 'c\td'] }],
    ['571 n\xf6\r\n', { code: 571, lines: ['n\xf6'] }],
    ['250-a\r\n', undefined],
    ['250 ok', undefined],
    [`250 ${'x'.repeat(2042)}\r\n`, { code: 250, lines: ['x'.repeat(2042)] }],
    [`${'250-x\r\n'.repeat(127)}250 x\r\n`, { code: 250, lines: Array<string>(128).fill('x') }],
  ];
  test('is read the same however it is cut', () => {
    for (const [text, reply] of replies) {
      for (const size of [1, 2, 3, 7, 10_000]) assert.deepEqual(read(text, size), reply, JSON.stringify(text));
    }
  });

  test('that breaks the grammar or a bound is an error', () => {
    for (const text of [
      'hello\r\n', '\r\n', '25 x\r\n', '2500 x\r\n', '150 x\r\n', '650 x\r\n', '250x\r\n', '250 ok\n', '250 a\rb\r\n',
      '250 \0\r\n', '250 \x1b[31m\r\n', ' 250 ok\r\n', '250-a\r\n251 b\r\n', '250-a\r\n550 b\r\n', '250-a\r\nb\r\n',
      '250 a\r\n250 b\r\n', `250 ${'x'.repeat(2043)}\r\n`, 'x'.repeat(2049), `${'250-x\r\n'.repeat(128)}250 x\r\n`,
    ]) {
      for (const size of [1, 10_000]) assert.throws(() => read(text, size), JSON.stringify(text.slice(0, 40)));
    }
  });
});
