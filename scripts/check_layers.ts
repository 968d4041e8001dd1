// The shape of src/, checked: who may import whom, and what only main.js, start.ts and serve.ts may do.
//
//   node scripts/check_layers.ts [FOLDER]     exit code 1 when a rule is broken, with file:line and the rule

import { existsSync, globSync, lstatSync, realpathSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

import { readModule } from './source/module.ts';
import type { Import, Module } from './source/module.ts';
import type { Token } from './source/tokens.ts';

/**
 * What each room imports. An entry is a room or a file; `types` may be imported with `import type` only. A file that
 * lies in no room (`app.ts`) is a room of its own. Every room may import itself.
 */
const rooms: Record<string, { imports: string[]; types?: string[] }> = {
  'core': { imports: [] },
  'http': { imports: ['core/errors.ts', 'core/maybe.ts'], types: ['core'] },
  'wire': { imports: ['core'] },
  'db': { imports: ['core', 'wire'] },
  'jobs': { imports: ['core', 'wire', 'db', 'schemas', 'http/schema.ts'], types: ['telemetry'] },
  'telemetry': { imports: ['core'], types: ['db'] },
  'schemas': { imports: ['core', 'db/models.ts', 'http/schema.ts'], types: ['db'] },
  'api': { imports: ['core', 'http', 'db', 'jobs', 'schemas'], types: ['telemetry'] },
  'app.ts': { imports: ['core', 'http', 'wire', 'db', 'jobs', 'telemetry', 'schemas', 'api'] },
  'threads': { imports: ['core', 'db', 'telemetry', 'app.ts'] },
  'serve.ts': { imports: ['core', 'wire', 'db', 'telemetry', 'app.ts', 'threads'] },
  'start.ts': { imports: ['core', 'wire', 'db', 'serve.ts'] },
  'main.js': { imports: ['start.ts'] },
};

/** Modules of Node that only some files import. */
const homes: { module: string; files: RegExp }[] = [
  { module: 'node:process', files: /^main\.js$/ },
  { module: 'node:sqlite', files: /^db\/sqlite/ },
  { module: 'node:vm', files: /^$/ },
];

/** What a file must not contain, but for the files that `except` matches. */
const words: { rule: string; except?: RegExp; find: (code: readonly Token[], i: number) => boolean }[] = [
  {
    rule: 'only main.js, start.ts and serve.ts touch process',
    except: /^(main\.js|start\.ts|serve\.ts)$/,
    find: (code, i) => isGlobal(code, i, 'process') && !is(code[i + 1], '('),
  },
  {
    rule: 'only serve.ts reads a clock: Date.now, performance.now, new Date without argument',
    except: /^serve\.ts$/,
    find: (code, i) =>
      ((isGlobal(code, i, 'Date') || isGlobal(code, i, 'performance')) && is(code[i + 1], '.') &&
        is(code[i + 2], 'now')) ||
      (isGlobal(code, i, 'Date') && !is(code[i + 1], '.') && (is(code[i - 1], 'new')
        ? !is(code[i + 1], '(') || is(code[i + 2], ')')
        : is(code[i + 1], '('))),
  },
  {
    rule: 'no code is made from text: eval, new Function',
    find: (code, i) => isGlobal(code, i, 'eval') ||
      (isGlobal(code, i, 'Function') && (is(code[i - 1], 'new') || is(code[i + 1], '('))),
  },
  {
    rule: 'modules are imported, not required',
    except: /^http\/node_http\.ts$/,
    find: (code, i) => isGlobal(code, i, 'createRequire'),
  },
  {
    rule: 'no default exports',
    find: (code, i) => is(code[i], 'default') &&
      (is(code[i - 1], 'export') || (is(code[i - 1], 'as') && isExported(code, i))),
  },
];

/** How a top-level statement may begin, but for main.js and the entries of threads. */
const declarations = /^(import|export|const|let|function|class)$/;
const runsOnImport = /^main\.js$|_thread\.ts$|^core\/thread_entry\.js$/;

/** The one file that imports what it is told to: the entry of every thread, which goes on to the real one. */
const importsByName = /^core\/thread_entry\.js$/;

/** What belongs to the page in the browser: Node never runs it. */
const page = 'http/docs/';

/** A rule that is broken. */
export interface Breach {
  /** Relative to the folder. */
  file: string;
  line: number;
  rule: string;
}

interface Source extends Module {
  file: string;
}

/** The source files under a folder that Node runs, relative to it. A link to one of them is no other file. */
export const sourceFiles = (folder: string): string[] =>
  globSync('**/*.{ts,js}', { cwd: folder })
    .filter((file) => !file.startsWith(page) && !isLinkWithin(folder, join(folder, file)))
    .sort();

const isLinkWithin = (folder: string, file: string): boolean =>
  lstatSync(file).isSymbolicLink() && !relative(realpathSync(folder), realpathSync(file)).startsWith('..');

/** Every breach in the source files under `folder`, by file and line, and how many files and imports were read. */
export function checkLayers(folder: string): { breaches: Breach[]; files: number; imports: number } {
  const sources = sourceFiles(folder).map((file): Source => ({ file, ...readModule(join(folder, file)) }));
  const breaches = [
    ...sources.flatMap((source) => [
      ...source.imports.flatMap((item) => importBreaches(folder, source, item)),
      ...contentBreaches(source),
    ]),
    ...circles(sources),
  ];
  breaches.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line));
  return { breaches, files: sources.length, imports: sources.reduce((sum, { imports }) => sum + imports.length, 0) };
}

function importBreaches(folder: string, { file }: Source, { specifier, kind, line }: Import): Breach[] {
  const breach = (rule: string): Breach[] => [{ file, line, rule }];
  if (specifier === undefined) return importsByName.test(file) ? [] : breach('import() names its module as a literal');
  if (specifier.startsWith('node:')) {
    const home = homes.find(({ module }) => module === specifier);
    if (home === undefined || kind === 'type' || home.files.test(file)) return [];
    return breach(`${specifier} is not imported here`);
  }
  if (!/^\.\.?\//.test(specifier)) return breach(`every import is node: or relative, not '${specifier}'`);
  if (!/\.(ts|js|json)$/.test(specifier)) return breach(`a relative import has its extension, unlike '${specifier}'`);

  const target = join(dirname(file), specifier);
  if (target === join('..', 'package.json')) return [];
  if (target.startsWith('..')) return breach(`'${specifier}' is outside`);
  if (!existsSync(join(folder, target))) return breach(`'${specifier}' is no file`);
  const from = roomOf(file);
  const room = rooms[from];
  if (room === undefined) return breach(`${from} is no known room`);
  const allows = (entries: string[]): boolean => entries.some((entry) => entry === target || entry === roomOf(target));
  if (from === roomOf(target) || allows(room.imports)) return [];
  if (!allows(room.types ?? [])) return breach(`${from} does not import ${target}`);
  return kind === 'type' ? [] : breach(`${from} imports only types from ${target}`);
}

function contentBreaches({ file, code, statements, isBarrel }: Source): Breach[] {
  const found: Breach[] = [];
  for (const { rule, except, find } of words) {
    if (except?.test(file)) continue;
    code.forEach(({ line }, i) => {
      if (find(code, i)) found.push({ file, line, rule });
    });
  }
  if (isBarrel) found.push({ file, line: 1, rule: 'a file declares something: no barrels' });
  if (runsOnImport.test(file)) return found;
  const rule = 'nothing happens on import: only declarations at the top level';
  for (const { text, line } of statements) if (!declarations.test(text)) found.push({ file, line, rule });
  for (const { text, kind, line, depth } of code) {
    if (depth === 0 && kind === 'name' && text === 'await') found.push({ file, line, rule });
  }
  return found;
}

/** Each circle of imports, of types too, once, at the import that closes it; that a thread is started is no import. */
function circles(sources: readonly Source[]): Breach[] {
  const byFile = new Map(sources.map((source) => [source.file, source]));
  const found: Breach[] = [];
  const done = new Set<string>();
  const visit = (source: Source, path: readonly string[]): void => {
    const here = [...path, source.file];
    for (const { specifier, kind, line } of source.imports) {
      if (kind === 'thread' || specifier === undefined || !specifier.startsWith('.')) continue;
      const target = byFile.get(join(dirname(source.file), specifier));
      if (target === undefined || done.has(target.file)) continue;
      const start = here.indexOf(target.file);
      if (start === -1) {
        visit(target, here);
        continue;
      }
      const circle = [...here.slice(start), target.file].join(' → ');
      found.push({ file: source.file, line, rule: `no file imports itself by way of others: ${circle}` });
    }
    done.add(source.file);
  };
  for (const source of sources) if (!done.has(source.file)) visit(source, []);
  return found;
}

const roomOf = (file: string): string => file.split('/')[0] ?? file;
const is = (token: Token | undefined, text: string): boolean =>
  token?.text === text && (token.kind === 'name' || token.kind === 'sign');

/** Whether the token is this word itself, not a property (but for one of `globalThis`). */
function isGlobal(code: readonly Token[], i: number, text: string): boolean {
  if (!is(code[i], text)) return false;
  if (is(code[i - 1], '.')) return is(code[i - 2], '.') || is(code[i - 2], 'globalThis');
  return !is(code[i + 1], ':') || is(code[i - 1], '?');
}

/** Whether the token stands in the braces of an `export { … }`. */
function isExported(code: readonly Token[], i: number): boolean {
  const brace = code.findLastIndex(({ text, depth }, at) => at < i && text === '{' && depth === 0);
  return is(code[brace - 1], 'export');
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(import.meta.dirname, '../src'));
  const { breaches, files, imports } = checkLayers(folder);
  for (const { file, line, rule } of breaches) console.error(`${relative('.', join(folder, file))}:${line}: ${rule}`);
  console.log(`layers: ${files} files, ${imports} imports, ${breaches.length} breaches`);
  if (breaches.length > 0) process.exitCode = 1;
}
