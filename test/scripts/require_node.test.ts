import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const script = join(root, 'scripts/require_node.cjs');
const folder = mkdtempSync(join(tmpdir(), 'require-node-'));
after(() => rmSync(folder, { recursive: true }));

function run(node: string, file: string, name: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(node, [file, name], { encoding: 'utf8' });
}

/** A copy of the script in a project that needs `engines`. */
function projectThatNeeds(engines: string): string {
  const home = mkdtempSync(join(folder, 'project-'));
  mkdirSync(join(home, 'scripts'));
  writeFileSync(join(home, 'package.json'), JSON.stringify({ engines: { node: engines } }));
  copyFileSync(script, join(home, 'scripts/require_node.cjs'));
  return join(home, 'scripts/require_node.cjs');
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

test('a Node that is new enough goes on in silence', () => {
  for (const engines of [`>=${major}.${minor}`, `>=${major}`, `>=${major - 1}.99.99`, `>=${process.versions.node}`]) {
    const { status, stdout, stderr } = run(process.execPath, projectThatNeeds(engines), 'start');
    assert.deepEqual({ engines, status, stdout, stderr }, { engines, status: 0, stdout: '', stderr: '' });
  }
});

test('a Node that is too old gets one sentence with the command that works, and exit code 1', () => {
  const table: [engines: string, name: string, command: string][] = [
    ['>=99.1', 'start', 'npx -y node@99 src/main.ts'],
    ['>=99.1', 'test', 'npx -y -p node@99 npm test'],
    ['>=99.1', 'bench', 'npx -y -p node@99 npm run bench'],
    [`>=${major}.${minor + 1}`, 'check', `npx -y -p node@${major} npm run check`],
    [`>=${major + 1}`, 'start', `npx -y node@${major + 1} src/main.ts`],
  ];
  for (const [engines, name, command] of table) {
    const { status, stdout, stderr } = run(process.execPath, projectThatNeeds(engines), name);
    const needs = engines.slice(2);
    assert.equal(
      stderr,
      `This needs Node ${needs} or newer and runs on ${process.versions.node} here; use: ${command}\n`,
    );
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
  }
});

const older = (process.env.PATH ?? '')
  .split(delimiter)
  .concat('/usr/bin')
  .map((entry) => join(entry, 'node'))
  .filter((file) => existsSync(file))
  .map((file) => ({ file, version: spawnSync(file, ['--version'], { encoding: 'utf8' }).stdout.trim() }))
  .find(({ version }) => /^v(1[2-9]|2[0-3])\./.test(version));

test('an old Node can run it, and src/main.ts, which says the same', { skip: older === undefined && 'there is no old Node on PATH' }, () => {
  assert.ok(older);
  const version = older.version.slice(1);
  const command = 'npx -y node@24 src/main.ts';
  for (const file of [script, join(root, 'src/main.ts')]) {
    const { status, stderr } = run(older.file, file, 'start');
    assert.equal(stderr, `This needs Node 24.15 or newer and runs on ${version} here; use: ${command}\n`);
    assert.equal(status, 1);
  }
});

test('every script of package.json goes through it under its own name', () => {
  const scripts: Record<string, string> = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts;
  for (const [name, line] of Object.entries(scripts)) {
    assert.ok(line.startsWith(`node scripts/require_node.cjs ${name} && `), `${name}: ${line}`);
  }
});

test('a command that README names stops in the same way when it is run without npm', () => {
  const source = (command: string) => readFileSync(join(root, command), 'utf8');
  const asks = /^import '\.\/require_node\.cjs';$/m;
  const commands = new Set([...source('README.md').matchAll(/\bnode (scripts\/\w+\.ts)/g)].map(([, name]) => name!));
  const direct = [...commands].filter((command) => asks.test(source(command)));
  const shared = [...commands].filter((command) => /^import .* from '\.\/shared\.ts';$/m.test(source(command)));
  assert.deepEqual([...direct, ...shared].sort(), [...commands].sort());

  const old = join(folder, 'old.cjs');
  writeFileSync(old, "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.18.0' } });");
  for (const command of [direct[0]!, shared[0]!]) {
    const asOld = ['--require', old, command, '--help'];
    const { status, stdout, stderr } = spawnSync(process.execPath, asOld, { cwd: root, encoding: 'utf8' });
    const said = `This needs Node 24.15 or newer and runs on 22.18.0 here; use: npx -y node@24 ${command}\n`;
    assert.deepEqual({ command, status, stdout, stderr }, { command, status: 1, stdout: '', stderr: said });
  }
});

test('.npmrc leaves npx able to fetch a Node: that package unpacks itself in an install script', () => {
  assert.doesNotMatch(readFileSync(join(root, '.npmrc'), 'utf8'), /ignore-scripts/);
});
