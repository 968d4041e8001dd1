import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isAddress, toMailbox } from '../../src/wire/mail_address.ts';

describe('a mailbox', () => {
  test('is an address, or a name and an address', () => {
    for (const [text, name, address] of [
      ['a@b.org', '', 'a@b.org'],
      ['<a@b.org>', '', 'a@b.org'],
      [' The Server <a@b.org> ', 'The Server', 'a@b.org'],
      ['"Server, \\"Inc.\\"" <a@b.org>', 'Server, "Inc."', 'a@b.org'],
      ['Müller & Söhne <no-reply@localhost>', 'Müller & Söhne', 'no-reply@localhost'],
    ]) assert.deepEqual(toMailbox(text!), { name, address });
    for (const text of [
      '', 'a', '<>', 'a@b.org, c@d.org', 'A <a@b.org> B', 'A <<a@b.org>>', 'A\nB <a@b.org>', 'A\0 <a@b.org>', 'A <ä@b>',
    ]) {
      assert.throws(() => toMailbox(text), /is no mailbox/, text);
    }
  });

  test('has an address that is plain ASCII', () => {
    const longest = `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    for (const address of ['a@b', 'a.b@c.d', "!#$%&'*+/=?^_`{|}~-@b.org", 'a@xn--bcher-kva.de', 'a@1.2', longest]) {
      assert.ok(isAddress(address), address);
    }
    for (const address of [
      `${longest}x`, `a@${'b'.repeat(64)}.org`, 'a@b-.org', 'a@b.', 'a.@b', 'a@b_c.org', 'a@b\n',
    ]) {
      assert.ok(!isAddress(address), address);
    }
  });
});
