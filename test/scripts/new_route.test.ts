import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';

import { copyProject, hasCompiler, runIn, typeFaults } from '../helpers/copy.ts';

suite('node scripts/new_route.ts', () => {
  const copy = copyProject();
  const newRoute = (...argv: string[]) => runIn(copy, 'scripts/new_route.ts', ...argv);
  const files = (): string[] => globSync('{src,test}/**/*.{ts,sql}', { cwd: copy }).sort();

  test('refuses a name that is none, that is taken or that has no singular, and then writes nothing', () => {
    const table: [code: number, argv: string[], said: RegExp][] = [
      [2, [], /^Usage: /],
      [2, ['a', 'b', 'c'], /^Usage: /],
      [2, ['--thing'], /is no name/],
      [2, ['Things'], /^"Things" is no name for a table; accepted: /],
      [2, ['../things'], /is no name/],
      [2, ['order-items'], /is no name/],
      [2, ['1things'], /is no name/],
      [2, ['things', 'one thing'], /"one thing" is no name/],
      [2, ['sheep'], /^What is one of "sheep" called\?/],
      [2, ['news'], /^What is one of "news" called\?/],
      [2, ['tv_series'], /^What is one of "tv_series" called\?/],
      [1, ['groups'], /means something else/],
      [1, ['rows'], /means something else/],
      [1, ['routes'], /means something else/],
      [1, ['schemas'], /means something else/],
      [1, ['users'], /means something else/],
      [1, ['sessions'], /\.ts is there already/],
    ];
    const untouched = files();
    for (const [code, argv, said] of table) {
      const { status, stdout, stderr } = newRoute(...argv);
      assert.deepEqual([status, stdout], [code, ''], argv.join(' '));
      assert.match(stderr, said);
      assert.match(stderr, /^.*\n$/);
    }
    assert.deepEqual(files(), untouched);
  });

  test('writes nothing either when one of its folders can not be written', () => {
    const folder = path.join(copy, 'test/api');
    renameSync(folder, `${folder}.away`);
    const untouched = files();
    const { status, stdout, stderr } = newRoute('things');
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^test\/api can't be written: ENOENT: .*\n$/);
    assert.deepEqual(files(), untouched);
    renameSync(`${folder}.away`, folder);
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
