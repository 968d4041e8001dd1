import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';

const base = { host: 'db', port: 5432, user: 'u', password: undefined, database: 'u', sslmode: 'require' };

test('a database URL says where, as whom and how', () => {
  const cases: [string, Partial<ReturnType<typeof toPostgresAddress>>][] = [
    ['postgres://u@db', {}],
    ['postgresql://u@db/', {}],
    ['postgres://u:secret@db:6543/app', { password: 'secret', port: 6543, database: 'app' }],
    ['postgres://a%40b:p%2Fw%3A%25@db/my%20app', { user: 'a@b', password: 'p/w:%', database: 'my app' }],
    ['postgres://u@db?sslmode=disable', { sslmode: 'disable' }],
    ['postgres://u@db?sslmode=verify-full', { sslmode: 'verify-full' }],
    ['postgres://u@localhost', { host: 'localhost', sslmode: 'disable' }],
    ['postgres://u@127.0.0.1', { host: '127.0.0.1', sslmode: 'disable' }],
    ['postgres://u@[::1]:5433', { host: '::1', port: 5433, sslmode: 'disable' }],
    ['postgres://u@127.0.0.1.example.com', { host: '127.0.0.1.example.com', sslmode: 'require' }],
    ['postgres://u@localhost?sslmode=require', { host: 'localhost', sslmode: 'require' }],
    ['postgres://%C3%A9t%C3%A9@db', { user: 'été', database: 'été' }],
  ];
  for (const [url, expected] of cases) {
    const database = expected.user ?? base.database;
    assert.deepEqual(toPostgresAddress(url), { ...base, database, ...expected }, url);
  }
});

test('a wrong database URL is refused without quoting it', () => {
  const cases: [string, RegExp][] = [
    ['hunter2', /not a URL/],
    ['mysql://u:hunter2@db/x', /another scheme/],
    ['postgres:///hunter2', /no host/],
    ['postgres://db/hunter2', /no user/],
    ['postgres://u:hunter2%@db', /password is not validly percent-encoded/],
    ['postgres://u:hunter2%00@db', /password is not validly percent-encoded/],
    ['postgres://u:hunter2@db?sslmode=prefer', /sslmode is unknown.*disable.require.verify-full/],
    ['postgres://u:hunter2@db?sslmode=require&sslmode=disable', /sslmode is .*repeated/],
    ['postgres://u:hunter2@db?options=x', /parameter besides sslmode/],
    ['postgres://u:secret@x?hunter2@db', /parameter besides sslmode/],
    ['postgres://u@db#hunter2', /fragment/],
  ];
  for (const [url, reason] of cases) {
    assert.throws(() => toPostgresAddress(url), (error: Error) => {
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  }
});
