import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { after } from 'node:test';

export interface Program {
  child: ChildProcess;
  port: number;
  /** Its log so far, a parsed line each. */
  log(): Record<string, any>[];
  /** The first line of the log, from now or before, that fits. */
  line(fits: (line: Record<string, any>) => boolean): Promise<Record<string, any>>;
  /** SIGTERM; its exit code, and what it wrote to stderr. */
  stop(): Promise<{ code: number | null; stderr: string }>;
}

export const ROOT = path.join(import.meta.dirname, '../..');

const { PATH, NODE_COMPILE_CACHE } = process.env;
/** What of the environment a program gets: where others are found, and code that earlier runs have compiled. */
export const BARE_ENV = { PATH, NODE_COMPILE_CACHE };

/** Runs the server as a program of its own in `cwd`, on a free port; `argv` is what comes behind `node`. */
export async function startProgram(
  argv: readonly string[], cwd: string, env: Record<string, string> = {},
): Promise<Program> {
  const child = spawn(process.execPath, argv, {
    cwd,
    env: { ...BARE_ENV, PORT: '0', LOG_FORMAT: 'json', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  after(() => void child.kill('SIGKILL')); // A failed test must not wait for it.
  const lines: Record<string, any>[] = [];
  let [part, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const [first, ...others] = text.split('\n');
    part += first;
    for (const next of others) {
      lines.push(JSON.parse(part));
      part = next;
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const exited = once(child, 'close');
  const line: Program['line'] = async (fits) => {
    for (let seen = 0; ; ) {
      for (; seen < lines.length; seen++) if (fits(lines[seen]!)) return lines[seen]!;
      const ended = await Promise.race([once(child.stdout, 'data').then(() => false), exited.then(() => true)]);
      if (ended) assert.fail(`the program ended: ${stderr}`);
    }
  };
  const { url } = await line(({ msg }) => msg === 'listening');
  return {
    child,
    port: Number(new URL(url).port),
    log: () => [...lines],
    line,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      return { code, stderr };
    },
  };
}
