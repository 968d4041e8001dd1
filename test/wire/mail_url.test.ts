import assert from 'node:assert/strict';
import { test } from 'node:test';

import { toPublicHost } from '../../src/wire/mail_url.ts';

test('the host of PUBLIC_URL is a name or an address that mail can carry', () => {
  for (const [url, host] of [
    ['https://api.example.org/v1/', 'api.example.org'], ['http://127.0.0.1:8000', '127.0.0.1'],
    ['http://[::1]:8000', '[::1]'], ['https://ä.example', 'xn--4ca.example'],
  ] as const) {
    assert.equal(toPublicHost(url), host);
  }
  for (const host of ["a'b.org", 'a!b.org', 'a..b', '(a).org']) {
    assert.throws(() => toPublicHost(`https://${host}`), /its host is malformed; accepted/, host);
  }
});
