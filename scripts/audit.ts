import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { connectionFaults, connections, waysOut } from './audit/connections.ts';
import type { Connection } from './audit/connections.ts';
import { besideTheCore, coreFiles } from './audit/core.ts';
import {
  foreignImports, nodeModules, pageFiles, readManifest, readPackages, readRooms, readSources, runtimeFields,
  settingNames, unreadable,
} from './audit/facts.ts';
import type { Package, Room } from './audit/facts.ts';
import { toSbom } from './audit/sbom.ts';
import { checkLayers, sourceFiles } from './check_layers.ts';

const HELP = `Usage: npm run audit -- [--json | --sbom]

Shows what a supply-chain auditor wants to see, on one page; exit code 1 when a check fails.

  --json   the same as JSON
  --sbom   a CycloneDX 1.6 document instead
`;

/** Lines of code of the core, at most. */
const lineBudget = 5_000;

/** Something that must be so, and what was found: the proof, or what is wrong. */
export interface Check {
  name: string;
  ok: boolean;
  found: string;
}

export interface Audit {
  name: string;
  version: string;
  ok: boolean;
  checks: Check[];
  packages: Package[];
  modules: Record<string, string[]>;
  connections: (Connection & { uses: string[] })[];
  rooms: Room[];
  /** What the browser gets: it never runs in the server. */
  page: Room[];
  /** What a start with default settings loads, without what lies beside it. */
  core: string[];
  lines: { core: number; total: number; budget: number };
}

/** Reads the project at `root`; runs nothing of it. */
export function audit(root: string, { budget = lineBudget }: { budget?: number } = {}): Audit {
  const src = join(root, 'src');
  const manifest = readManifest(root);
  const packages = readPackages(root);
  const sources = readSources(src);
  const rooms = readRooms(src, sourceFiles(src));
  const codeLines = (counted: readonly Room[]): number => counted.reduce((sum, one) => sum + one.codeLines, 0);
  const total = codeLines(rooms);
  const files = coreFiles(sources);
  const core = codeLines(readRooms(src, files));
  const layers = checkLayers(src);
  const open = connections.flatMap((entry) => {
    const source = sources.find(({ file }) => file === entry.file);
    return source === undefined ? [] : [{ ...entry, uses: waysOut(source) }];
  });
  const isEval = (rule: string): boolean => rule.startsWith('no code is made from text');

  const check = (name: string, faults: string[], proof: string): Check =>
    ({ name, ok: faults.length === 0, found: faults.length === 0 ? proof : faults.join('; ') });
  const breaches = (wanted: (rule: string) => boolean): string[] =>
    layers.breaches.filter(({ rule }) => wanted(rule)).map(({ file, line, rule }) => `${file}:${line} ${rule}`);
  const checks = [
    check('package.json asks for nothing at run time', runtimeFields(manifest),
      'no dependencies of any kind, no install hooks'),
    check('every package of the lockfile is for development',
      packages.filter(({ dev }) => !dev).map(({ name }) => name), `${packages.length} packages, all marked dev`),
    check('every package is pinned by hash', packages.filter((one) => !one.hasIntegrity).map(({ name }) => name),
      'version and integrity of each'),
    check('every import is node: or relative', foreignImports(sources),
      `${layers.imports} imports in ${sources.length} files`),
    check('no file is of a kind that these checks cannot read', unreadable(src),
      'TypeScript, and JavaScript for the browser in http/docs'),
    check('no code is made from text', breaches(isEval), 'no eval, no new Function, no node:vm'),
    check('who imports whom', breaches((rule) => !isEval(rule)), 'no breach of the layer rules'),
    check('every way out is known and has its setting', connectionFaults(sources, settingNames(sources)),
      `${open.length} files can reach out`),
    check(`at most ${budget} lines of code in the core`, core > budget ? [`${core} lines`] : [],
      `${core} lines in the ${files.length} files that a start with default settings loads`),
  ];
  return {
    name: manifest.name,
    version: manifest.version,
    ok: checks.every(({ ok }) => ok),
    checks,
    packages,
    modules: nodeModules(sources),
    connections: open,
    rooms,
    page: readRooms(src, pageFiles(src)),
    core: files,
    lines: { core, total, budget },
  };
}

function columns(rows: string[][]): string[] {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), []);
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()}`);
}

/** The same for people. */
export function toPage({ name, version, ok, checks, packages, modules, connections, ...rest }: Audit): string {
  const { rooms, page, lines } = rest;
  const needed = packages.filter(({ optional }) => !optional);
  const withScripts = packages.filter(({ hasInstallScript }) => hasInstallScript);
  return [
    `${name} ${version}`,
    '',
    'Checks',
    ...checks.map((one) => `  ${one.ok ? 'ok   ' : 'FAIL '} ${one.name}: ${one.found}`),
    '',
    `Packages for development (${packages.length}, of them ${packages.length - needed.length} for some platforms only)`,
    ...columns(needed.map((one) => [one.name, one.version, one.hasInstallScript ? 'has an install script' : ''])),
    withScripts.length === 0 ? '  none has an install script'
      : `  install scripts: ${withScripts.map((one) => `${one.name}@${one.version}`).join(', ')}`,
    '',
    'Modules of Node, and the files that use them',
    ...Object.entries(modules).map(([module, files]) => `  ${module}: ${files.join(', ')}`),
    '',
    'Ways out, and the setting that opens each',
    ...columns(connections.map(({ file, to, setting, uses }) => [setting, file, `${to} (${uses.join(', ')})`])),
    '',
    'Lines of src/',
    ...columns([
      ['', 'files', 'lines', 'neither blank nor comment'],
      ...rooms.map((one) => [one.room, `${one.files}`, `${one.lines}`, `${one.codeLines}`]),
    ]),
    `  code: ${lines.core} that a default start loads, without ${besideTheCore.join('/ and ')}/, at most ` +
      `${lines.budget}; ${lines.total} in all`,
    ...page.map((one) => `  for the browser: ${one.files} files, ${one.lines} lines in ${one.room}/docs/`),
    '',
    ok ? 'Everything holds.' : `${checks.filter((one) => !one.ok).length} of ${checks.length} checks fail.`,
  ].join('\n');
}

function readFlags() {
  const options = { json: { type: 'boolean' }, sbom: { type: 'boolean' }, help: { type: 'boolean' } } as const;
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}; see --help\n`);
    process.exit(2);
  }
}

if (import.meta.main) {
  const values = readFlags();
  const root = join(import.meta.dirname, '..');
  if (values.help) {
    process.stdout.write(HELP);
  } else if (values.sbom) {
    console.log(JSON.stringify(toSbom(readManifest(root)), null, 2));
  } else {
    const result = audit(root);
    console.log(values.json ? JSON.stringify(result, null, 2) : toPage(result));
    if (!result.ok) process.exitCode = 1;
  }
}
