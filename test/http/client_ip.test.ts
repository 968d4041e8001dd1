import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createClientIp, networkOf } from '../../src/http/client_ip.ts';

test('the client is the right-most hop that is not trusted', () => {
  const clientIp = createClientIp([['10.0.0.0', 8], ['127.0.0.1', 32], ['fd00::', 8]]);
  const table: [peer: string, forwardedFor: string | undefined, client: string][] = [
    ['192.0.2.1', undefined, '192.0.2.1'],
    ['192.0.2.1', '198.51.100.1', '192.0.2.1'],
    ['10.0.0.1', undefined, '10.0.0.1'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['127.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['127.0.0.2', '198.51.100.1', '127.0.0.2'],
    ['::ffff:10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['fd12::1', '198.51.100.1', '198.51.100.1'],
    ['::ffff:192.0.2.1', '198.51.100.1', '192.0.2.1'],
    ['10.0.0.1', '203.0.113.9, 198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '203.0.113.9,198.51.100.1 ,\t10.0.0.2', '198.51.100.1'],
    ['10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['10.0.0.1', '198.51.100.1, unknown', '10.0.0.1'],
    ['10.0.0.1', '198.51.100.1, unknown, 10.0.0.2', '10.0.0.2'],
    ['10.0.0.1', '198.51.100.1, , 10.0.0.2', '10.0.0.2'],
    ['10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['10.0.0.1', '[2001:db8::1]:4711', '2001:db8::1'],
    ['10.0.0.1', '[2001:db8::1]', '2001:db8::1'],
    ['10.0.0.1', '2001:DB8:0:0::0001', '2001:db8::1'],
    ['10.0.0.1', '::ffff:198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '::ffff:c633:6401', '198.51.100.1'],
    ['10.0.0.1', 'fe80::1%eth0', '10.0.0.1'],
    ['10.0.0.1', '127.1', '10.0.0.1'],
    ['10.0.0.1', '0x7f000001', '10.0.0.1'],
    ['10.0.0.1', '198.51.100.01', '10.0.0.1'],
    ['10.0.0.1', '"198.51.100.1"', '10.0.0.1'],
    ['10.0.0.1', ','.repeat(10_000), '10.0.0.1'],
    ['fe80::1%eth0', '198.51.100.1', 'fe80::1%eth0'],
    ['', '198.51.100.1', ''],
    ['', undefined, ''],
  ];
  for (const [peer, forwardedFor, client] of table) {
    assert.equal(clientIp(peer, forwardedFor), client, `${peer} for ${forwardedFor?.slice(0, 50)}`);
  }
});

test('without a trusted proxy nobody is believed', () => {
  for (const trusted of [undefined, []]) {
    const clientIp = createClientIp(trusted);
    assert.equal(clientIp('127.0.0.1', '198.51.100.1'), '127.0.0.1');
    assert.equal(clientIp('::ffff:127.0.0.1', '198.51.100.1'), '127.0.0.1');
    assert.equal(clientIp('', '198.51.100.1'), '');
  }
});

test('everything between whom all are trusted leads to the first', () => {
  const clientIp = createClientIp([['0.0.0.0', 0], ['::', 0]]);
  assert.equal(clientIp('10.0.0.1', '203.0.113.9, 2001:db8::1, 198.51.100.1'), '203.0.113.9');
});

test('a network is an IPv4 address or the /64 of an IPv6 one, the same for every spelling', () => {
  const table: Record<string, string> = {
    '192.0.2.1': '192.0.2.1',
    '2001:db8::1': '2001:db8:0:0::/64',
    '2001:db8::': '2001:db8:0:0::/64',
    '2001:db8:0:0:ffff:ffff:ffff:ffff': '2001:db8:0:0::/64',
    '2001:db8:0:1::': '2001:db8:0:1::/64',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2::/64',
    '1:2:3:4::': '1:2:3:4::/64',
    '::': '0:0:0:0::/64',
    '::1': '0:0:0:0::/64',
    '1::': '1:0:0:0::/64',
    '::1:2:3:4:5:6:7': '0:1:2:3::/64',
    '64:ff9b::192.0.2.1': '64:ff9b:0:0::/64',
    'fe80::1%eth0': 'fe80:0:0:0::/64',
    '': '',
  };
  for (const [ip, network] of Object.entries(table)) assert.equal(networkOf(ip), network, ip);
});
