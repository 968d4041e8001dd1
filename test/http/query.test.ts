import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Failure } from '../../src/core/errors.ts';
import { parseParams, parseQuery } from '../../src/http/query.ts';
import { integer, object, oneOf, optional, string } from '../../src/http/schema.ts';

const Query = object({
  limit: optional(integer({ minimum: 1, maximum: 100 })),
  q: optional(string({ maxLength: 5 })),
  role: optional(oneOf(['user', 'admin'])),
});

function refusal(parse: () => unknown): [code: string, detail: string] {
  try {
    return assert.fail(`accepted: ${JSON.stringify(parse())}`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [error.code, error.message];
  }
}

test('parameters are decoded and numbers read', () => {
  const table: [search: string | undefined, values: object][] = [
    [undefined, {}],
    ['', {}],
    ['limit=20', { limit: 20 }],
    ['limit=1&q=a', { limit: 1, q: 'a' }],
    ['q=1', { q: '1' }],
    ['q=a+b', { q: 'a b' }],
    ['q=a%20b', { q: 'a b' }],
    ['q=%2B', { q: '+' }],
    ['q=a%3Db', { q: 'a=b' }],
    ['q=a=b', { q: 'a=b' }],
    ['q=%26', { q: '&' }],
    ['q=%C3%A9', { q: 'é' }],
    ['%71=a', { q: 'a' }],
    ['role=admin', { role: 'admin' }],
  ];
  for (const [search, values] of table) assert.deepEqual({ ...(parseQuery(search, Query) as object) }, values, search);
  assert.equal(parseQuery(undefined, undefined), undefined);
  assert.equal(parseQuery('', undefined), undefined);
});

test('unknown, repeated, empty and wrong parameters are refused by name', () => {
  const table: [search: string, detail: string][] = [
    ['page=1', 'There is no query parameter "page" here.'],
    ['Limit=1', 'There is no query parameter "Limit" here.'],
    ['limit[]=1', 'There is no query parameter "limit[]" here.'],
    ['__proto__=1', 'There is no query parameter "__proto__" here.'],
    ['toString=1', 'There is no query parameter "toString" here.'],
    ['&', 'There is no query parameter "" here.'],
    ['limit=1&', 'There is no query parameter "" here.'],
    ['=1', 'There is no query parameter "" here.'],
    [`${'x'.repeat(5000)}=1`, `There is no query parameter "${'x'.repeat(64)}" here.`],
    ['limit=1&limit=1', 'The query parameter "limit" is repeated.'],
    ['q=a&%71=b', 'The query parameter "q" is repeated.'],
    ['limit=', 'The query parameter "limit" is empty.'],
    ['limit', 'The query parameter "limit" is empty.'],
    ['q=', 'The query parameter "q" is empty.'],
    ['limit=0', 'The query parameter "limit" must be at least 1.'],
    ['limit=101', 'The query parameter "limit" must be at most 100.'],
    ['limit=-1', 'The query parameter "limit" must be at least 1.'],
    ['q=abcdef', 'The query parameter "q" must have at most 5 characters.'],
    ['q=%00', 'The query parameter "q" must not contain NUL.'],
    ['role=root', 'The query parameter "role" must be one of user, admin.'],
  ];
  for (const [search, detail] of table) {
    assert.deepEqual(refusal(() => parseQuery(search, Query)), ['invalid_parameter', detail], search.slice(0, 50));
  }
  const numbers = ['1.5', '1e1', '0x1', '+1', ' 1', '1 ', '1,2', 'ten', '%EF%BC%91', '9'.repeat(400), 'NaN', 'null'];
  for (const text of numbers) {
    assert.equal(refusal(() => parseQuery(`limit=${text}`, Query))[0], 'invalid_parameter', text);
  }
  assert.equal(refusal(() => parseQuery('a=1', undefined))[0], 'invalid_parameter');
});

test('a bad percent-encoding is refused wherever it is', () => {
  for (const search of ['q=%', 'q=%4', 'q=%zz', 'q=%c3', 'q=%c0%af', 'q=%ed%a0%80', '%=1', '%ff=1']) {
    assert.equal(refusal(() => parseQuery(search, Query))[0], 'malformed_request', search);
  }
});

test('path parameters are UUIDs, in any case, and come out in lower case', () => {
  const id = '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21';
  assert.deepEqual({ ...parseParams({ id: id.toUpperCase(), sid: id }) }, { id, sid: id });
  assert.deepEqual({ ...parseParams({}) }, {});
  const close = [`${id}0`, id.slice(1), id.replaceAll('-', ''), `{${id}}`, `%30${id.slice(1)}`, `${id}%00`, `${id}\n`];
  for (const text of ['', 'me', '1', '{id}', ...close]) {
    const expected = ['invalid_parameter', 'The id in the path must be a UUID.'];
    assert.deepEqual(refusal(() => parseParams({ id: text })), expected, text);
  }
});
