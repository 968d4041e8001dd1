import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadConfig } from '../../src/core/config.ts';
import { checkDatabaseUrl, openDatabase, sqliteFile } from '../../src/db/session.ts';
import { toRedisTarget } from '../../src/wire/redis_target.ts';

const monotonic = (): number => performance.now() * 1e6;

test('the URL picks the engine, and opening it touches nothing', async () => {
  const table: [url: string, kind: string, file: string | undefined][] = [
    ['sqlite:/no/such/folder/app.db', 'sqlite', '/no/such/folder/app.db'],
    ['sqlite::memory:', 'sqlite', ':memory:'],
    ['postgres://nobody@127.0.0.1:1/nothing', 'postgres', undefined],
    ['postgresql://nobody@nowhere.invalid/nothing', 'postgres', undefined],
  ];
  for (const [databaseUrl, kind, file] of table) {
    const db = await openDatabase({ databaseUrl, databasePoolMax: 1 }, { monotonic });
    assert.deepEqual([db.kind, sqliteFile(databaseUrl)], [kind, file]);
    await db.close();
  }
});

test('a URL that its client cannot read is a fault among the others, and its password is in none', () => {
  const faultsOf = (env: Record<string, string>): string[] => {
    const checks = { DATABASE_URL: checkDatabaseUrl, REDIS_URL: toRedisTarget };
    const loaded = loadConfig({ env, envFile: undefined, flags: {}, readFile: () => '', checks });
    return 'faults' in loaded ? loaded.faults : [];
  };
  const table: [database: string, redis: string, faults: RegExp[]][] = [
    ['postgres://u:hunter2@h/db?sslmode=prefer', 'redis://:hunter2@h/x', [/^DATABASE_URL: .*sslmode/, /^REDIS_URL: /]],
    ['postgres://:hunter2@h/db', 'rediss://h', [/^DATABASE_URL: it names no user; accepted is postgres:/]],
    ['sqlite::memory:', 'redis://hunter2@h', [/^REDIS_URL: it has a user and no password; accepted are redis:/]],
    ['mysql://u:hunter2@h', 'hunter2', [/^DATABASE_URL: begins differently/, /^REDIS_URL: begins differently/]],
    ['sqlite:app.db', 'redis://:hunter2@h/3', []],
    ['postgres://u:hunter2@h/db?sslmode=require', 'rediss://u:hunter2@h:1', []],
  ];
  for (const [DATABASE_URL, REDIS_URL, expected] of table) {
    const faults = faultsOf({ DATABASE_URL, REDIS_URL });
    assert.equal(faults.length, expected.length, faults.join('\n'));
    faults.forEach((fault, i) => assert.match(fault, expected[i]!));
    assert.doesNotMatch(faults.join('\n'), /hunter2/);
  }
});
