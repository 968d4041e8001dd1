import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  array, boolean, check, integer, nullable, object, oneOf, optional, partial, string,
} from '../../src/http/schema.ts';
import type { Infer, Schema } from '../../src/http/schema.ts';

const Person = object({
  name: string({ minLength: 2, maxLength: 5 }),
  age: optional(nullable(integer({ minimum: 0, maximum: 150 }))),
  role: optional(oneOf(['user', 'admin'])),
  tags: optional(array(string({ pattern: '^[a-z]+$' }))),
  home: optional(object({ 'a/b~c': boolean() })),
});

const ONLY_LETTERS = '/tags/2 must match ^[a-z]+$';

/** `pointer detail` of each fault. */
const faults = (schema: Schema<unknown>, value: unknown): string[] =>
  check(schema, value).map(({ pointer, detail }) => `${pointer} ${detail}`);

test('a value that fits has no faults', () => {
  const fitting = [
    ...[{ name: 'Ada' }, { name: 'Ada', age: null }, { name: 'Ada', age: 0 }, { name: 'Ada', age: 150 }],
    ...[{ name: 'Ada', role: 'admin' }, { name: 'Ada', tags: [] }, { name: 'Ada', tags: ['a', 'b'] }],
    ...[{ name: 'Ada', home: { 'a/b~c': false } }, JSON.parse('{"name":"Ada","age":-0}'), { name: 'Ada', age: 1e2 }],
  ];
  for (const value of fitting) assert.deepEqual(faults(Person, value), [], JSON.stringify(value));
});

test('each wrong place is one fault with its JSON Pointer, all of them at once', () => {
  const wrong: [value: unknown, ...faults: string[]][] = [
    [null, ' must be an object, not null'],
    [[], ' must be an object, not an array'],
    ['{}', ' must be an object, not a string'],
    [{}, '/name is missing'],
    [{ name: 1 }, '/name must be a string, not a whole number'],
    [{ name: null }, '/name must be a string, not null'],
    [{ name: ['Ada'] }, '/name must be a string, not an array'],
    [{ name: { toString: 'Ada' } }, '/name must be a string, not an object'],
    [{ name: true }, '/name must be a string, not a boolean'],
    [{ name: 'Ada', age: '7' }, '/age must be a whole number or null, not a string'],
    [{ name: 'Ada', age: 7.5 }, '/age must be a whole number or null, not a number'],
    [{ name: 'Ada', age: -1 }, '/age must be at least 0'],
    [{ name: 'Ada', age: 151 }, '/age must be at most 150'],
    [{ name: 'Ada', role: 'root' }, '/role must be one of user, admin'],
    [{ name: 'Ada', role: null }, '/role must be a string, not null'],
    [{ name: 'Ada', tags: 'a' }, '/tags must be an array, not a string'],
    [{ name: 'Ada', tags: ['a', 1, 'B'] }, '/tags/1 must be a string, not a whole number', ONLY_LETTERS],
    [{ name: 'Ada', home: { 'a/b~c': 0 } }, '/home/a~1b~0c must be a boolean, not a whole number'],
    [{ name: 'Ada', 'x/y~z': 1 }, '/x~1y~0z is not a known field'],
    [
      { age: '7', role: 'root', more: 1 },
      ...['/name is missing', '/age must be a whole number or null, not a string', '/role must be one of user, admin'],
      '/more is not a known field',
    ],
  ];
  for (const [value, ...expected] of wrong) assert.deepEqual(faults(Person, value), expected, JSON.stringify(value));
});

test('names that every object inherits are unknown fields like others, and do not count as given', () => {
  const inherited = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__defineGetter__'];
  for (const name of inherited) {
    assert.deepEqual(faults(Person, JSON.parse(`{"name":"Ada","${name}":1}`)), [`/${name} is not a known field`]);
    assert.deepEqual(faults(object({ [name]: optional(string()) }), {}), [], name);
  }
  assert.deepEqual(faults(object({ constructor: string() }), {}), ['/constructor is missing']);
  const heir = JSON.parse('{"__proto__":{"name":"Ada"}}');
  assert.deepEqual(faults(Person, heir), ['/name is missing', '/__proto__ is not a known field']);
});

test('lengths are counted in code points, and bytes in UTF-8', () => {
  const name = (text: string) => faults(Person, { name: text });
  const lock = '\u{1f512}';
  assert.deepEqual(name(lock), ['/name needs 2 characters or more']);
  assert.deepEqual(name('a'), ['/name needs 2 characters or more']);
  assert.deepEqual(name(''), ['/name needs 2 characters or more']);
  for (const text of ['ab', 'abcde', lock.repeat(2), lock.repeat(5), 'e\u0301e\u0301']) {
    assert.deepEqual(name(text), [], text);
  }
  for (const text of ['abcdef', lock.repeat(6), `${lock.repeat(5)}a`]) {
    assert.deepEqual(name(text), ['/name must have at most 5 characters'], text);
  }
  const bytes = string({ 'x-maxBytes': 4 });
  assert.deepEqual(['abcd', 'éé', lock, ''].flatMap((text) => faults(bytes, text)), []);
  for (const text of ['abcde', 'ééé', `${lock}a`]) {
    assert.deepEqual(faults(bytes, text), [' must have at most 4 bytes']);
  }
  assert.deepEqual(faults(string({ minLength: 1 }), ''), [' must not be empty']);
});

test('NUL and lone surrogates are refused in every string, and in the names of fields shown harmless', () => {
  for (const schema of [string(), oneOf(['a']), string({ pattern: 'a' }), nullable(string())]) {
    assert.deepEqual(faults(schema, 'a\0'), [' must not contain NUL']);
    for (const text of ['\ud800', 'a\udfff', '\udc00\ud800']) {
      assert.deepEqual(faults(schema, text), [' must not contain lone surrogates']);
    }
  }
  const [fault] = check(Person, { name: 'Ada', ['\ud800'.repeat(100)]: 1 });
  assert.ok(fault!.pointer.isWellFormed());
  assert.equal(fault!.pointer.length, 65);
  assert.deepEqual(faults(Person, { name: 'Ada', 'a\0b': 1 }), ['/a\ufffdb is not a known field']);
});

test('a flood of unknown fields is not answered with a flood of faults', () => {
  const flood = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`field ${i}`, i]));
  const found = check(Person, flood);
  assert.ok(found.length <= 51, `${found.length} faults`);
  assert.equal(found[0]!.pointer, '/name');
});

test('formats hold in their usual words', () => {
  const table: [schema: Schema<unknown>, fine: string[], wrong: string[], words: string][] = [
    [
      string({ format: 'uuid' }),
      ['0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21', '0190A5D2-7C4B-7DEF-8A3B-3C1D9E5F7A21'],
      ['', '0190a5d27c4b7def8a3b3c1d9e5f7a21', '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a2g', '{0190a5d2}'],
      'must be a UUID',
    ],
    [
      string({ format: 'date-time' }),
      ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.123Z', '2026-01-31T12:00:00+02:00'],
      ['', '2026-01-31', '2026-01-31 12:00:00Z', '2026-01-31T12:00:00', '1769860800'],
      'must be a date and time such as 2026-01-31T12:00:00Z',
    ],
    [string({ format: 'email', pattern: '@' }), ['a@b'], ['ab'], 'must be an e-mail address such as ada@example.com'],
  ];
  for (const [schema, fine, wrong, words] of table) {
    for (const text of fine) assert.deepEqual(faults(schema, text), [], text);
    for (const text of wrong) assert.deepEqual(faults(schema, text), [` ${words}`], text);
  }
});

test('a schema is plain JSON Schema: nothing of it is lost on the wire', () => {
  const Patch = object({ ...partial({ name: string(), age: integer({ default: 3 }) }) }, { title: 'Patch' });
  assert.deepEqual(JSON.parse(JSON.stringify(Patch)), {
    type: 'object',
    title: 'Patch',
    properties: { name: { type: 'string' }, age: { type: 'integer', default: 3 } },
    additionalProperties: false,
  });
  assert.deepEqual(JSON.parse(JSON.stringify(object({ a: nullable(string()), b: optional(boolean()) }))), {
    type: 'object',
    properties: { a: { type: ['string', 'null'] }, b: { type: 'boolean' } },
    required: ['a'],
    additionalProperties: false,
  });
  const typed: Infer<typeof Patch> = { name: 'Ada' };
  assert.deepEqual(faults(Patch, typed), []);
});
