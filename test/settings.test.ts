import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { EXAMPLE_JWT_SECRET, settings } from '../src/core/config.ts';
import { loadConfig } from '../src/core/load_config.ts';
import type { Setting } from '../src/core/settings.ts';

const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const all = Object.entries(settings) as [string, Setting<unknown>][];

test("README's table names every setting with its default and its meaning, and no other", () => {
  const [, section = ''] = read('README.md').split(/<!-- \/?settings -->/);
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const expected = all.map(([name, { fallback, meaning }]) => {
    const shown = fallback === undefined ? 'unset' : `\`${fallback}\``;
    return `| \`${name}\` | ${shown} | ${meaning.replaceAll('|', '\\|')} |`;
  });
  assert.deepEqual(rows, expected);
});

test('.env.example names every setting with its default, what it means and what is accepted', () => {
  const expected = all.map(([name, { fallback, meaning, accepts }]) => {
    const value = name === 'JWT_SECRET' ? EXAMPLE_JWT_SECRET : (fallback ?? '');
    return `# ${meaning}\n# accepted: ${accepts}\n# ${name}=${value}`;
  });
  assert.deepEqual(read('.env.example').trim().split('\n\n').slice(1), expected);
});

test('.env.example, with every line in force, starts everywhere but in production', () => {
  const envFile = read('.env.example').replaceAll(/^# ([A-Z_0-9]+=)/gm, '$1');
  const load = (ENVIRONMENT: string) =>
    loadConfig({ env: { ENVIRONMENT }, envFile, flags: {}, readFile: () => '' });
  assert.deepEqual('faults' in load('development') && load('development'), false);
  const production = load('production');
  assert.ok('faults' in production);
  assert.ok(production.faults.some((fault) => fault.startsWith('JWT_SECRET:')));
});
