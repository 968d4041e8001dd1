import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';

import { checkLayers } from '../../scripts/check_layers.ts';

const folder = mkdtempSync(join(tmpdir(), 'check-layers-'));
after(() => rmSync(folder, { recursive: true }));

type Files = Record<string, string>;

function treeOf(files: Files): string {
  const root = join(mkdtempSync(join(folder, 'tree-')), 'src');
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  return root;
}

/** The breaches as `file:line rule`, the rule cut to its first words. */
const breachesIn = (files: Files): string[] =>
  checkLayers(treeOf(files)).breaches.map(({ file, line, rule }) => `${file}:${line} ${rule}`);

/** One file in every room; each test adds the one line that is wrong. */
const house: Files = {
  'main.js': "import { start } from './start.ts';\nstart(process.argv);\n",
  'start.ts': "import { serve } from './serve.ts';\nexport const start = (of: unknown) => serve(process.env, of);\n",
  'serve.ts': "import { app } from './app.ts';\n" +
    'export const serve = (...of: unknown[]) => app(process.pid + Date.now() + performance.now() + of.length);\n',
  'app.ts': "import { log } from './telemetry/log.ts';\nimport { routes } from './api/router.ts';\n" +
    'export const app = (now: number) => [log, routes, now];\n',
  'api/router.ts': "import type { Log } from '../telemetry/log.ts';\nimport { User } from '../schemas/user.ts';\n" +
    "import { job } from '../jobs/mail.ts';\nimport { serve } from '../http/server.ts';\n" +
    'export const routes = (log: Log) => [log, User, job, serve];\n',
  'schemas/user.ts': "import type { Database } from '../db/database.ts';\n" +
    "import { string } from '../http/schema.ts';\n" +
    'export const User = (db: Database) => string(db);\n',
  'http/schema.ts': 'export const string = (of: unknown): unknown => of;\n',
  'http/server.ts': "import { Failure } from '../core/errors.ts';\nexport const serve = () => new Failure();\n",
  'telemetry/log.ts': "import type { Maybe } from '../core/maybe.ts';\n" +
    'export interface Log { write: Maybe<string> }\n' +
    'export const log = (): Log => ({ write: "" });\n',
  'jobs/mail.ts': "import { send } from '../wire/smtp.ts';\nexport const job = () => send;\n",
  'db/database.ts': "import { send } from '../wire/smtp.ts';\nexport interface Database { send: typeof send }\n",
  'db/sqlite.ts': "import { DatabaseSync } from 'node:sqlite';\nexport const open = () => DatabaseSync;\n" +
    "export const entry = () => new URL('./writer_thread.ts', import.meta.url);\n",
  'db/writer_thread.ts': "import { open } from './sqlite.ts';\nopen();\n",
  'wire/smtp.ts': "import { connect } from 'node:net';\nexport const send = () => connect;\n",
  'core/errors.ts': 'export class Failure extends Error {}\n',
  'core/maybe.ts': 'export type Maybe<T> = T | Promise<T>;\n',
  'core/rules.ts': 'export const rule = 1;\n',
};

test('a tree that keeps every rule has no breach', () => {
  assert.deepEqual(breachesIn(house), []);
  const { files, imports } = checkLayers(treeOf(house));
  assert.deepEqual({ files, imports }, { files: 17, imports: 19 });
});

test('a link to a file of the tree is no other file; a link out of it is read like any', () => {
  const root = treeOf(house);
  symlinkSync('main.js', join(root, 'main.ts'));
  assert.deepEqual(checkLayers(root).breaches, []);
  assert.equal(checkLayers(root).files, 17);
  writeFileSync(join(root, '../outside.ts'), "import 'left-pad';\n");
  symlinkSync('../outside.ts', join(root, 'inside.ts'));
  const found = checkLayers(root).breaches.map(({ file, rule }) => `${file} ${rule}`);
  assert.ok(found.includes("inside.ts every import is node: or relative, not 'left-pad'"), found.join('; '));
});

test('an import into a room that may not be imported is found, however it is written', () => {
  const table: [file: string, line: string, rule: string][] = [
    ['core/a.ts', "import { send } from '../wire/smtp.ts';", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "import type { Log } from '../telemetry/log.ts';", 'core does not import telemetry/log.ts'],
    ['core/a.ts', "export { send } from '../wire/smtp.ts';", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "export * from '../wire/smtp.ts';", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "import * as smtp\n  from '../wire/smtp.ts';", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "export const x = () => import('../wire/smtp.ts');", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "export type X = import('../wire/smtp.ts').X;", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "import '../wire/smtp.ts';", 'core does not import wire/smtp.ts'],
    ['core/a.ts', "export const x = () => new URL('../wire/smtp.ts', import.meta.url);",
      'core does not import wire/smtp.ts'],
    ['core/a.ts', "export const x = `${await import('../wire/smtp.ts')}`;", 'core does not import wire/smtp.ts'],
    ['http/a.ts', "import { rule } from '../core/rules.ts';", 'http imports only types from core/rules.ts'],
    ['http/a.ts', "import type { X } from '../wire/smtp.ts';", 'http does not import wire/smtp.ts'],
    ['http/a.ts', "import { User } from '../schemas/user.ts';", 'http does not import schemas/user.ts'],
    ['wire/a.ts', "import { open } from '../db/sqlite.ts';", 'wire does not import db/sqlite.ts'],
    ['db/a.ts', "import { job } from '../jobs/mail.ts';", 'db does not import jobs/mail.ts'],
    ['jobs/a.ts', "import { routes } from '../api/router.ts';", 'jobs does not import api/router.ts'],
    ['telemetry/a.ts', "import { serve } from '../http/server.ts';", 'telemetry does not import http/server.ts'],
    ['schemas/a.ts', "import { serve } from '../http/server.ts';", 'schemas does not import http/server.ts'],
    ['schemas/a.ts', "import { open } from '../db/sqlite.ts';", 'schemas imports only types from db/sqlite.ts'],
    ['api/a.ts', "import { send } from '../wire/smtp.ts';", 'api does not import wire/smtp.ts'],
    ['api/a.ts', "import { log } from '../telemetry/log.ts';", 'api imports only types from telemetry/log.ts'],
    ['api/a.ts', "import { log, type Log } from '../telemetry/log.ts';",
      'api imports only types from telemetry/log.ts'],
    ['core/a.js', "import { send } from '../wire/smtp.ts';", 'core does not import wire/smtp.ts'],
    ['app.ts', "import { x } from './main.js';", 'app.ts does not import main.js'],
    ['mail/a.ts', "import { rule } from '../core/rules.ts';", 'mail is no known room'],
  ];
  for (const [file, line, rule] of table) {
    const found = breachesIn({ ...house, [file]: `const own = 1;\n${line}\n` });
    assert.ok(found.includes(`${file}:2 ${rule}`), `${file}: ${line} → ${found.join('; ')}`);
  }
});

test('a line that must not be there is found', () => {
  const process = 'only main.js, start.ts and serve.ts touch process';
  const clock = 'only serve.ts reads a clock: Date.now, performance.now, new Date without argument';
  const text = 'no code is made from text: eval, new Function';
  const onImport = 'nothing happens on import: only declarations at the top level';
  const table: [line: string, rule: string][] = [
    ["import { x } from 'left-pad';", "every import is node: or relative, not 'left-pad'"],
    ["import { x } from 'fs';", "every import is node: or relative, not 'fs'"],
    ["import { x } from '/core/rules.ts';", "every import is node: or relative, not '/core/rules.ts'"],
    ["import { x } from './rules';", "a relative import has its extension, unlike './rules'"],
    ["import { x } from './gone.ts';", "'./gone.ts' is no file"],
    ["import { x } from '../../outside.ts';", "'../../outside.ts' is outside"],
    ['export const x = (name: string) => import(name);', 'import() names its module as a literal'],
    ["export const x = (name: string) => import(`./${name}.ts`);", 'import() names its module as a literal'],
    ["import { x } from 'node:sqlite';", 'node:sqlite is not imported here'],
    ["import { x } from 'node:vm';", 'node:vm is not imported here'],
    ["import { env } from 'node:process';", 'node:process is not imported here'],
    ["import { createRequire } from 'node:module';", 'modules are imported, not required'],
    ['export const x = () => process.env.HOME;', process],
    ['export const x = () => globalThis.process.pid;', process],
    ["export const x = () => `${process['pid']}`;", process],
    ['export const x = () => ({ ...process });', process],
    ['export const x = (y: boolean) => y ? process : undefined;', process],
    ['export const x = () => Date.now();', clock],
    ['export const x = Date.now;', clock],
    ['export const x = () => new Date();', clock],
    ['export const x = () => [new Date];', clock],
    ['export const x = () => Date();', clock],
    ['export const x = () => performance.now();', clock],
    ["export const x = () => eval('1');", text],
    ["export const x = () => (0, eval)('1');", text],
    ["export const x = () => new Function('return 1');", text],
    ["export const x = () => Function('return 1');", text],
    ['export default 1;', 'no default exports'],
    ['export { own as default };', 'no default exports'],
    ['console.log(1);', onImport],
    ['if (own) console.log(1);', onImport],
    ['export function x(): { y: 1 } { return { y: 1 }; } x();', onImport],
    ['export class X {}\n  new X();', onImport],
    ['export const x = 1\nown.toString();', onImport],
    ['export const x = await Promise.resolve(1);', onImport],
    ['own++;', onImport],
    ['{ own.toString(); }', onImport],
    ['(() => own)();', onImport],
  ];
  for (const [line, rule] of table) {
    const text = `const own = 1;\n${line}\n`;
    const found = breachesIn({ ...house, 'core/a.ts': text, 'core/b_thread.ts': text });
    const lines = text.trimEnd().split('\n').length;
    assert.ok(
      found.includes(`core/a.ts:2 ${rule}`) || found.includes(`core/a.ts:${lines} ${rule}`),
      `${line} → ${found.join('; ')}`,
    );
    const excused = !found.some((breach) => breach.startsWith('core/b_thread.ts') && breach.endsWith(rule));
    assert.equal(excused, rule === onImport, `the entry of a thread: ${line}`);
  }
});

test('what only looks like a breach is none', () => {
  const lines = [
    "// process.exit(); import x from 'left-pad'",
    "/* eval('1') */ export const a = 'process.env' + \"Date.now()\" + `eval(${'1'})`;",
    "export const b = (job: { process: number }) => job.process + job?.process;",
    'export const c = { process: 1, eval: 2 }.process;',
    'export const d = (time: number) => new Date(time);',
    'export const e = (at: Date) => at.getTime();',
    'export const f = /process.env[/]"/.test("") ? 1 / 2 : 3;',
    'export class Queue { async process(): Promise<void> { await undefined; } }',
    'export const g = async () => { await undefined; };',
    'export type H = typeof import("./rules.ts").rule;',
    'export interface I { default: number }\nexport async function* j(): AsyncGenerator<{ x: 1 }> {}',
    'export const k = (x: { default?: 1 }) => { switch (x) { default: return x; } };',
    'let l: { m: number } | undefined;\nexport { l };',
    "export { rule } from './rules.ts';",
    'export abstract class N { abstract o(): { p: 1 }; }\nexport function q(r: 1): r is 1;\n' +
      'export function q(r: number): boolean { return r === 1; }',
    'declare const s: number;\nexport const t = () => s;',
  ];
  for (const line of lines) {
    assert.deepEqual(breachesIn({ ...house, 'core/a.ts': `const own = 1;\n${line}\nexport { own };\n` }), [], line);
  }
});

test('a file that only hands on what others declare is a barrel', () => {
  const barrels = [
    "export { rule } from './rules.ts';",
    "export * from './rules.ts';",
    "export type { Maybe } from './maybe.ts';",
    "import { rule } from './rules.ts';\nexport { rule };",
  ];
  for (const text of barrels) {
    assert.deepEqual(breachesIn({ ...house, 'core/index.ts': text }), [
      'core/index.ts:1 a file declares something: no barrels',
    ]);
  }
});

test('a circle of files is found once, with its way', () => {
  const found = breachesIn({
    'core/a.ts': "import { b } from './b.ts';\nexport const a = () => b;\n",
    'core/b.ts': "import { c } from './c.ts';\nexport const b = () => c;\n",
    'core/c.ts': "import { rule } from './rules.ts';\nimport type { a } from './a.ts';\n" +
      'export const c = rule as unknown as typeof a;\n',
    'core/rules.ts': 'export const rule = 1;\n',
  });
  assert.deepEqual(found, [
    'core/c.ts:2 no file imports itself by way of others: core/a.ts → core/b.ts → core/c.ts → core/a.ts',
  ]);
});

test('the command names each breach by file and line and exits with 1; without one it exits with 0', () => {
  const script = join(import.meta.dirname, '../../scripts/check_layers.ts');
  const run = (root: string) => spawnSync(process.execPath, ['--no-warnings', script, root], { encoding: 'utf8' });
  const clean = run(treeOf(house));
  assert.deepEqual([clean.status, clean.stdout], [0, 'layers: 17 files, 19 imports, 0 breaches\n']);
  const broken = run(treeOf({ ...house, 'core/a.ts': 'export const a = () => Date.now();\n' }));
  assert.equal(broken.status, 1);
  assert.match(broken.stderr, /core\/a\.ts:1: only serve\.ts reads a clock/);
});

test('this project keeps every rule', () => {
  const { breaches, files } = checkLayers(join(import.meta.dirname, '../../src'));
  assert.deepEqual(breaches, []);
  assert.ok(files > 0);
});
