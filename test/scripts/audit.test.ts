import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';

import { audit, toPage } from '../../scripts/audit.ts';
import { connectionFaults } from '../../scripts/audit/connections.ts';
import { readSources } from '../../scripts/audit/facts.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'audit-'));
after(() => rmSync(folder, { recursive: true }));

const manifest = { name: 'made-up', version: '1.2.3', license: 'MIT', description: 'One.', engines: { node: '>=24' } };
const dev = { version: '1.0.0', dev: true, integrity: 'sha512-x' };
const ownLock = { name: 'made-up', devDependencies: { typist: '1.0.0' } };

/** A project that passes, with the files given laid over it. */
function project(files: Record<string, string> = {}): string {
  const home = mkdtempSync(join(folder, 'project-'));
  const all = {
    'package.json': JSON.stringify(manifest),
    'package-lock.json': JSON.stringify({ packages: { '': ownLock, 'node_modules/typist': dev } }),
    'src/main.js': "await import('./start.ts');\n",
    'src/start.ts': "import { settings } from './core/config.ts';\nexport const start = () => settings;\n",
    'src/core/config.ts': "export const settings = {\n  // where\n  REDIS_URL: 1,\n};\n",
    'src/wire/redis.ts': "import { connect } from 'node:net';\nexport const open = () => connect;\n",
    ...files,
  };
  for (const [file, text] of Object.entries(all)) {
    mkdirSync(dirname(join(home, file)), { recursive: true });
    writeFileSync(join(home, file), text);
  }
  return home;
}

const failing = (home: string): string[] =>
  audit(home).checks.filter(({ ok }) => !ok).map(({ name, found }) => `${name}: ${found}`);

test('a project without a fault passes every check, and the page says so', () => {
  const result = audit(project());
  assert.equal(result.ok, true);
  assert.deepEqual(result.modules, { 'node:net': ['wire/redis.ts'] });
  assert.deepEqual(result.rooms, [
    { room: 'core', files: 1, lines: 4, codeLines: 3 },
    { room: 'src', files: 2, lines: 3, codeLines: 3 },
    { room: 'wire', files: 1, lines: 2, codeLines: 2 },
  ]);
  assert.deepEqual(result.core, ['core/config.ts', 'main.js', 'start.ts']);
  assert.deepEqual(result.lines, { core: 6, total: 8, budget: 5000 });
  assert.match(toPage(result), /^made-up 1\.2\.3\n[\s\S]*REDIS_URL +wire\/redis\.ts[\s\S]*\nEverything holds\.$/);
});

test('each fault fails the check that is meant to find it', () => {
  const lock = (packages: object): string => JSON.stringify({ packages });
  const table: [files: Record<string, string>, found: string][] = [
    [{ 'package.json': JSON.stringify({ ...manifest, dependencies: { x: '1' } }) },
      'package.json asks for nothing at run time: dependencies'],
    [{ 'package.json': JSON.stringify({ ...manifest, optionalDependencies: {} }) },
      'package.json asks for nothing at run time: optionalDependencies'],
    [{ 'package.json': JSON.stringify({ ...manifest, scripts: { postinstall: 'true', start: 'true' } }) },
      'package.json asks for nothing at run time: scripts.postinstall'],
    [{ 'package-lock.json': lock({ '': ownLock, 'node_modules/x': { ...dev, dev: false } }) },
      'every package of the lockfile is for development: x'],
    [{ 'package-lock.json': lock({ '': { dependencies: { '@a/x': '1' } }, 'node_modules/@a/x': dev }) },
      'every package of the lockfile is for development: @a/x'],
    [{ 'package-lock.json': lock({ '': ownLock, 'node_modules/a/node_modules/x': { version: '1', dev: true } }) },
      'every package is pinned by hash: x'],
    [{ 'src/core/a.ts': "import x from 'left-pad';\nexport const a = x;\n" },
      'every import is node: or relative: core/a.ts:1 left-pad'],
    [{ 'src/core/a.js': "import x from 'left-pad';\nexport const a = x;\n" },
      'every import is node: or relative: core/a.js:1 left-pad'],
    [{ 'src/core/a.mjs': '' }, 'no file is of a kind that these checks cannot read: core/a.mjs'],
    [{ 'src/core/a.ts': "export const a = () => eval('1');\n" },
      'no code is made from text: core/a.ts:1 no code is made from text: eval, new Function'],
    [{ 'src/core/a.ts': "import { b } from '../wire/redis.ts';\nexport const a = b;\n" },
      'who imports whom: core/a.ts:1 core does not import wire/redis.ts'],
    [{ 'src/core/a.ts': 'export const a = () => fetch("http://example.com/");\n' },
      'every way out is known and has its setting: core/a.ts uses fetch and is not in the table'],
    [{ 'src/core/config.ts': 'export const settings = { OTHER: 1 };\n' },
      'every way out is known and has its setting: wire/redis.ts: there is no setting REDIS_URL'],
    [{ 'src/start.ts': `${'export const a = 1;\n'.repeat(5000)}` },
      'at most 5000 lines of code in the core: 5001 lines'],
  ];
  for (const [files, found] of table) {
    const faults = failing(project(files));
    assert.ok(faults.some((fault) => fault === found), `${found}: ${faults.join(' | ')}`);
  }
});

test('a file that reaches out must be in the table, and one that does not must not', () => {
  const settings = new Set(['REDIS_URL']);
  const faultsOf = (text: string, listed: boolean): string[] => {
    const src = join(project({ 'src/wire/a.ts': text, 'src/wire/redis.ts': '' }), 'src');
    const table = listed ? [{ file: 'wire/a.ts', to: 'somewhere', setting: 'REDIS_URL' }] : [];
    return connectionFaults(readSources(src), settings, table);
  };
  const outward: [text: string, uses: string][] = [
    ["import { connect } from 'node:net';", 'node:net connect'],
    ["import { isIP, Socket as S } from 'node:net';", 'node:net Socket'],
    ["import net from 'node:net';", 'node:net default'],
    ["import * as tls from 'node:tls';", 'node:tls *'],
    ["import http, { STATUS_CODES } from 'node:http';", 'node:http default'],
    ["import { request } from 'node:https';", 'node:https request'],
    ["import 'node:http2';", 'node:http2 *'],
    ["import { lookup } from 'node:dns/promises';", 'node:dns/promises lookup'],
    ["import { createSocket } from 'node:dgram';", 'node:dgram createSocket'],
    ["import { spawn } from 'node:child_process';", 'node:child_process spawn'],
    ["export const a = () => import('node:net');", 'node:net *'],
    ["export { connect } from 'node:tls';", 'node:tls connect'],
    ["export const a = () => fetch('http://example.com/');", 'fetch'],
    ["export const a = () => globalThis.fetch('http://example.com/');", 'fetch'],
    ["export const { get } = createRequire(import.meta.url)('node:http');", 'node:http get'],
    ["export const a = fetch;", 'fetch'],
    ["export const a = () => new WebSocket('ws://example.com/');", 'WebSocket'],
  ];
  for (const [text, uses] of outward) {
    assert.deepEqual(faultsOf(text, false), [`wire/a.ts uses ${uses} and is not in the table`], text);
    assert.deepEqual(faultsOf(text, true), [], text);
  }
  const inward = [
    "import { isIP, BlockList, createServer } from 'node:net';",
    "import { createServer, STATUS_CODES } from 'node:http';",
    "export const { createServer, STATUS_CODES }: typeof h = createRequire(import.meta.url)('node:http');",
    "import type { Socket } from 'node:net';",
    "import { isIP, type Socket } from 'node:net';",
    'export const a = (cache: { fetch(): void }) => cache.fetch();',
    "// fetch('http://example.com/')\nexport const a = 'fetch';",
  ];
  for (const text of inward) {
    assert.deepEqual(faultsOf(text, false), [], text);
    assert.deepEqual(faultsOf(text, true), ['wire/a.ts is in the table and opens nothing'], text);
  }
});

const script = join(root, 'scripts/audit.ts');
const run = (...args: string[]) =>
  spawnSync(process.execPath, ['--no-warnings', script, ...args], { encoding: 'utf8' });

test('the SBOM of this project has the fields that CycloneDX 1.6 asks for and no component', () => {
  const { status, stdout } = run('--sbom');
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const sbom = JSON.parse(stdout);
  assert.deepEqual([status, sbom.bomFormat, sbom.specVersion, sbom.version], [0, 'CycloneDX', '1.6', 1]);
  assert.deepEqual(sbom.components, []);
  assert.deepEqual([sbom.metadata.component.type, sbom.metadata.component.name], ['application', name]);
  assert.deepEqual(sbom.dependencies, [{ ref: `pkg:npm/${name}@${version}`, dependsOn: [] }]);
});

test('--json is the same as the page, for programs, and its exit code tells whether all checks hold', () => {
  const { status, stdout } = run('--json');
  const result = JSON.parse(stdout);
  assert.equal(status, result.ok ? 0 : 1);
  assert.equal(run().stdout, `${toPage(result)}\n`);
});

test('--help explains it, and a flag that is none is refused in a sentence', () => {
  const { status, stdout } = run('--help');
  assert.deepEqual([status, stdout.split('\n')[0]], [0, 'Usage: npm run audit -- [--json | --sbom]']);
  const refused = run('--jsn');
  assert.deepEqual([refused.status, refused.stdout, refused.stderr], [2, '', "Unknown option '--jsn'; see --help\n"]);
});

test('this project asks for nothing at run time', () => {
  const { checks, packages } = audit(root);
  // The layers have a test of their own; how many lines there are is no matter of right or wrong code.
  const others = checks.filter(({ name }) => name !== 'who imports whom' && !name.startsWith('at most'));
  assert.deepEqual(others.filter(({ ok }) => !ok), []);
  assert.ok(packages.length > 0 && packages.every((one) => one.dev));
});
