import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import { after } from 'node:test';

import { ROOT } from './program.ts';

/** What is needed to run, test and check the project. */
const PARTS = ['src', 'test', 'scripts', 'package.json', 'tsconfig.json', 'README.md', '.env.example'];

/** The compiler, when it has been installed. */
const TSC = path.join(ROOT, 'node_modules/.bin/tsc');
export const hasCompiler = existsSync(TSC);

/** A copy of the project that may be changed; gone after the tests of the file. */
export function copyProject(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'copy-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const how = { recursive: true, verbatimSymlinks: true };
  for (const part of PARTS) cpSync(path.join(ROOT, part), path.join(folder, part), how);
  if (hasCompiler) symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  return folder;
}

/** Runs Node there; what it compiles is kept there, too. */
export function runIn(folder: string, ...argv: string[]): SpawnSyncReturns<string> {
  const { NODE_TEST_CONTEXT: _, ...given } = process.env;
  const env = { ...given, NODE_COMPILE_CACHE: path.join(folder, '.cache') };
  return spawnSync(process.execPath, argv, { cwd: folder, env, encoding: 'utf8', timeout: 600_000 });
}

/** The compiler's complaints about the files there. */
export const typeFaults = (folder: string): string => spawnSync(TSC, ['--noEmit'], { cwd: folder, encoding: 'utf8' }).stdout;
