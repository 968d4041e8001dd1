import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { sourceFiles } from '../check_layers.ts';
import { readModule } from '../source/module.ts';
import type { Module } from '../source/module.ts';
import { tokenize } from '../source/tokens.ts';

export interface Source extends Module {
  /** Relative to src/. */
  file: string;
}

export interface Room {
  room: string;
  files: number;
  lines: number;
  /** Lines that are neither blank nor comment. */
  codeLines: number;
}

/** A package of the lockfile. All of them are for development, or the audit fails. */
export interface Package {
  name: string;
  version: string;
  dev: boolean;
  optional: boolean;
  hasInstallScript: boolean;
  hasIntegrity: boolean;
}

interface Lockfile {
  packages: Record<string, {
    version?: string;
    dev?: boolean;
    optional?: boolean;
    hasInstallScript?: boolean;
    integrity?: string;
    dependencies?: Record<string, string>;
    optionalDependencies?: Record<string, string>;
    peerDependencies?: Record<string, string>;
  }>;
}

export interface Manifest {
  name: string;
  version: string;
  description: string;
  license: string;
  scripts?: Record<string, string>;
  engines: { node: string };
  [key: string]: unknown;
}

export const readManifest = (root: string): Manifest => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The fields of package.json that make something be installed, or run, for whoever uses the project. */
export function runtimeFields(manifest: Manifest): string[] {
  const fields = [
    'dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies', 'bundledDependencies',
    'overrides', 'workspaces', 'gypfile',
  ];
  const hooks = Object.keys(manifest.scripts ?? {}).filter((name) =>
    /^(pre|post)?(install|prepare|publish|pack|uninstall)$|^dependencies$|^prepublishOnly$/.test(name));
  return [...fields.filter((field) => manifest[field] !== undefined), ...hooks.map((name) => `scripts.${name}`)];
}

export function readPackages(root: string): Package[] {
  const lockfile: Lockfile = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const own = lockfile.packages[''];
  const needed = new Set([own?.dependencies, own?.optionalDependencies, own?.peerDependencies]
    .flatMap((names) => Object.keys(names ?? {})));
  return Object.entries(lockfile.packages)
    .filter(([place]) => place !== '')
    .map(([place, entry]) => {
      const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
      return {
        name,
        version: entry.version ?? '',
        dev: entry.dev === true && !needed.has(name),
        optional: entry.optional === true,
        hasInstallScript: entry.hasInstallScript === true,
        hasIntegrity: entry.integrity !== undefined,
      };
    });
}

export const readSources = (src: string): Source[] =>
  sourceFiles(src).map((file) => ({ file, ...readModule(join(src, file)) }));

/** Every `node:` module that the sources import while they run, and the files that do. */
export function nodeModules(sources: readonly Source[]): Record<string, string[]> {
  const found = new Map<string, Set<string>>();
  for (const { file, imports } of sources) {
    for (const { specifier, kind } of imports) {
      if (kind === 'type' || specifier === undefined || !specifier.startsWith('node:')) continue;
      found.set(specifier, (found.get(specifier) ?? new Set()).add(file));
    }
  }
  return Object.fromEntries([...found].sort().map(([name, files]) => [name, [...files]]));
}

/** Imports that are neither `node:` nor relative, as `file:line specifier`. */
export const foreignImports = (sources: readonly Source[]): string[] =>
  sources.flatMap(({ file, imports }) => imports
    .filter(({ specifier }) => specifier !== undefined && !/^(node:|\.\.?\/)/.test(specifier))
    .map(({ specifier, line }) => `${file}:${line} ${specifier}`));

/** Files and lines of each room of src/; files that lie in no room are together under `src`. */
export function readRooms(src: string, filesOf: readonly string[]): Room[] {
  const rooms = new Map<string, Room>();
  for (const file of filesOf) {
    const text = readFileSync(join(src, file), 'utf8');
    const room = file.includes('/') ? file.slice(0, file.indexOf('/')) : 'src';
    const entry = rooms.get(room) ?? { room, files: 0, lines: 0, codeLines: 0 };
    entry.files += 1;
    entry.lines += text.split('\n').length - 1;
    if (/\.(ts|js)$/.test(file)) entry.codeLines += codeLines(text);
    rooms.set(room, entry);
  }
  return [...rooms.values()].sort((a, b) => b.lines - a.lines);
}

function codeLines(text: string): number {
  const lines = new Set<number>();
  for (const token of tokenize(text)) {
    const height = token.kind === 'template' ? token.text.split('\n').length : 1;
    for (let i = 0; i < height; i += 1) lines.add(token.line + i);
  }
  return lines.size;
}

/** Files under src/ that Node could load and that none of the checks reads. */
export const unreadable = (src: string): string[] =>
  globSync('**/*.{mjs,cjs,jsx,tsx,mts,cts,node,wasm}', { cwd: src });

/** What the browser gets. */
export const pageFiles = (src: string): string[] => globSync('http/docs/**/*.{js,css,html}', { cwd: src });

/** The names of all settings: those in capitals that core/config.ts gives a value to. */
export const settingNames = (sources: readonly Source[]): Set<string> => {
  const { code = [] } = sources.find(({ file }) => file === 'core/config.ts') ?? {};
  const keys = code.filter(({ text }, i) => /^[A-Z][A-Z0-9_]+$/.test(text) && code[i + 1]?.text === ':');
  return new Set(keys.map(({ text }) => text));
};
