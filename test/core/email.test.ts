import assert from 'node:assert/strict';
import { test } from 'node:test';

import { emailKey, isEmail } from '../../src/core/email.ts';

const label63 = 'a'.repeat(63);
const longest = `${'a'.repeat(254 - 1 - 3 * 64 - 3)}@${label63}.${label63}.${label63}.com`;

test('what a browser takes for an address with a dotted domain is one', () => {
  const addresses = [
    ...['a@a.com', 'ada.lovelace@example.com', 'a+b@example.com', "o'hara@example.ie", 'a@b.c', '1@2.3'],
    ...['a_b@a-b.example', '!#$%&\'*+/=?^_`{|}~-@example.com', 'A@EXAMPLE.COM', 'a@xn--bcher-kva.example'],
    ...['a@a.b.c.d.e', `a@${label63}.com`],
    ...['a-@example.com', '-a@example.com', `${'a'.repeat(65)}@example.com`, 'a@example.123', longest.slice(1)],
  ];
  for (const address of addresses) assert.equal(isEmail(address), true, address);
});

test('what has no dot, an empty label, other characters or too much length is none', () => {
  const addresses = [
    ...['', '@', 'a', 'a@', '@a.com', 'a@a', 'a@localhost', 'a@.com', 'a@a.', 'a@a..com', '.a@a.com', 'a.@a.com'],
    ...['a..b@a.com', 'a@a@a.com', 'a b@a.com', 'a@a b.com', ' a@a.com', 'a@a.com ', 'a@a.com\n', 'a\0@a.com'],
    ...['a@a.com\r\nBcc: b@b.com', '"a"@a.com', 'a@[127.0.0.1]', 'a@[IPv6:::1]', 'a@-a.com', 'a@a-.com', 'a@a_b.com'],
    ...['a(b)@a.com', '<a@a.com>', 'a,b@a.com', 'é@a.com', 'a@é.com', 'a@a.com\u200b', 'a＠a.com', 'a@a。com'],
    ...['a;b@a.com', 'a:b@a.com', 'a\\b@a.com', 'mailto:a@a.com'],
    ...[`a@${label63}a.com`, `a${longest}`, `${'a'.repeat(250)}@a.com`],
  ];
  assert.equal(longest.length, 254);
  for (const address of addresses) assert.equal(isEmail(address), false, JSON.stringify(address));
});

test('no address takes long to look at', () => {
  const hostile = ['a'.repeat(100_000), `a@${'a-'.repeat(120)}`, `a@${'a.'.repeat(120)}`, `${'a.'.repeat(120)}@`];
  for (const address of hostile) assert.equal(isEmail(address), false);
});

test('addresses are compared without case', () => {
  assert.equal(emailKey('Ada@Example.COM'), 'ada@example.com');
});
