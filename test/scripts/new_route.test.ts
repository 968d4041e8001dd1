import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';

import { copyProject, hasCompiler, runIn, typeFaults } from '../helpers/copy.ts';

suite('node scripts/new_route.ts', () => {
  const copy = copyProject();
  const newRoute = (...argv: string[]) => runIn(copy, 'scripts/new_route.ts', ...argv);
  const files = (): string[] => globSync('{src,test}/**/*.{ts,sql}', { cwd: copy }).sort();

  test('refuses a name that is none, that is taken or that has no singular, and then writes nothing', () => {
    const table: [argv: string[], said: RegExp][] = [
      [[], /^Usage: /],
      [['a', 'b', 'c'], /^Usage: /],
      [['Things'], /^"Things" is no name for a table; accepted: /],
      [['../things'], /is no name/],
      [['order-items'], /is no name/],
      [['1things'], /is no name/],
      [['things', 'one thing'], /"one thing" is no name/],
      [['sheep'], /^What is one of "sheep" called\?/],
      [['news'], /^What is one of "news" called\?/],
      [['tv_series'], /^What is one of "tv_series" called\?/],
      [['groups'], /means something else/],
      [['rows'], /means something else/],
      [['routes'], /means something else/],
      [['schemas'], /means something else/],
      [['users'], /means something else/],
      [['sessions'], /\.ts is there already/],
    ];
    const untouched = files();
    for (const [argv, said] of table) {
      const { status, stdout, stderr } = newRoute(...argv);
      assert.deepEqual([status, stdout], [1, ''], argv.join(' '));
      assert.match(stderr, said);
      assert.match(stderr, /^.*\n$/);
    }
    assert.deepEqual(files(), untouched);
  });

  test('says what it does when asked', () => {
    const untouched = files();
    const { status, stdout, stderr } = newRoute('--help');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^Usage: node scripts\/new_route\.ts THINGS \[THING\]\n/);
    assert.doesNotMatch(stdout, /.{81}/);
    assert.deepEqual(files(), untouched);
  });

  test('gives files that follow the types, the layers and the style, and whose test passes at once', () => {
    const untouched = files();
    for (const argv of [['things'], ['order_items'], ['companies'], ['boxes'], ['mice', 'mouse']]) {
      const { status, stdout, stderr } = newRoute(...argv);
      assert.deepEqual([status, stderr], [0, ''], stdout);
      assert.equal(newRoute(...argv).status, 1, 'and not twice');
    }
    const made = files().filter((file) => !untouched.includes(file));
    assert.equal(made.length, 5 * 6);
    for (const file of made) {
      const text = readFileSync(path.join(copy, file), 'utf8');
      assert.doesNotMatch(text, /[«»]|undefinedRoutes/, file);
      for (const line of text.split('\n')) assert.ok(line.length <= 120, `${file}: ${line}`);
    }
    assert.ok(existsSync(path.join(copy, 'src/schemas/company.ts')));
    assert.ok(existsSync(path.join(copy, 'src/schemas/box.ts')));
    const tests = made.filter((file) => file.endsWith('.test.ts'));
    const checks = [
      ['--disable-warning=ExperimentalWarning', 'scripts/check_layers.ts'],
      ['--test', '--test-isolation=none', ...tests, 'test/http/openapi_clients.test.ts'],
    ];
    for (const argv of checks) {
      const { status, stdout, stderr } = runIn(copy, ...argv);
      assert.equal(status, 0, stdout + stderr);
    }
  });

  test('gives files that compile', { skip: !hasCompiler && 'needs npm ci' }, () => {
    assert.equal(typeFaults(copy), '');
  });
});
