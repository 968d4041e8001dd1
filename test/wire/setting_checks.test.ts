import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadConfig } from '../../src/core/load_config.ts';
import { settingChecks } from '../../src/wire/setting_checks.ts';

const faultsOf = (env: Record<string, string>): string[] => {
  const loaded = loadConfig({ env, envFile: undefined, flags: {}, readFile: () => '', checks: settingChecks });
  return 'faults' in loaded ? loaded.faults : [];
};

test('a URL that its client cannot read is a fault among the others, and its password is in none', () => {
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

test('what mail could not be sent with is a fault of its setting, and no password is told', () => {
  for (const [env, fault] of [
    [{ MAIL_URL: 'smtp://u:hunter2@h/x' }, /^MAIL_URL: it has a path; accepted/],
    [{ MAIL_URL: 'smtps://u@h' }, /^MAIL_URL: user and password belong together; accepted/],
    [{ MAIL_URL: 'log:hunter2' }, /^MAIL_URL: it is none of what is accepted: log:/],
    [{ MAIL_URL: 'file://host/mail' }, /^MAIL_URL: it is none of what is accepted: log:/],
    [{ MAIL_FROM: 'no sender' }, /^MAIL_FROM: is no mailbox; accepted/],
    [{ PUBLIC_URL: 'https://a!b.example' }, /^PUBLIC_URL: its host is malformed; accepted/],
  ] as [Record<string, string>, RegExp][]) {
    const faults = faultsOf(env);
    assert.equal(faults.length, 1, faults.join('\n'));
    assert.match(faults[0]!, fault);
    assert.doesNotMatch(faults[0]!, /hunter2/);
  }
});
