import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import type { Load, LoadResult } from './load.ts';

const run = promisify(execFile);

const onPath = (name: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)));

/** What this machine has to measure with. */
export interface Machine {
  wrk: boolean;
  /** Puts a command on the core for the servers or for the load; nothing where that cannot be done. */
  pin(core: 'server' | 'load', command: string[]): [file: string, args: string[]];
  isPinned: boolean;
}

export function findMachine({ useWrk }: { useWrk: boolean }): Machine {
  const isPinned = os.availableParallelism() > 1 && onPath('taskset');
  if (isPinned) spawnSync('taskset', ['-acp', '1', String(process.pid)]);
  return {
    wrk: useWrk && onPath('wrk'),
    isPinned,
    pin(core, command) {
      const pinned = isPinned ? ['taskset', '-c', core === 'server' ? '0' : '1', ...command] : command;
      return [pinned[0] ?? '', pinned.slice(1)];
    },
  };
}

/** Runs a load in a process of its own: wrk where there is one, but not for the few and slow requests of a login. */
export async function generate(machine: Machine, load: Load): Promise<LoadResult> {
  const isSlow = load.path.endsWith('/login');
  if (!machine.wrk || isSlow) {
    const script = join(import.meta.dirname, 'load.ts');
    const [file, args] = machine.pin('load', [process.execPath, script, JSON.stringify(load)]);
    return JSON.parse((await run(file, args)).stdout);
  }
  const { port, method, path, headers, body, tokensFile, connections, seconds } = load;
  const [file, args] = machine.pin('load', [
    'wrk', '-t', '1', '-c', String(connections), '-d', String(seconds), '--latency',
    '-s', join(import.meta.dirname, 'load.lua'), `http://127.0.0.1:${port}${path}`,
  ]);
  const env = {
    ...process.env,
    BENCH_METHOD: method,
    BENCH_HEADERS: Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join('\n'),
    ...(body === undefined ? {} : { BENCH_BODY: body }),
    ...(tokensFile === undefined ? {} : { BENCH_TOKENS: tokensFile }),
  };
  const { stdout } = await run(file, args, { env });
  const result = /^RESULT (.*)$/m.exec(stdout)?.[1];
  if (result === undefined) throw new Error(`wrk said: ${stdout}`);
  return JSON.parse(result);
}

/** Password hashes a second on the server's core, with nothing around them. */
export async function hashFloor(machine: Machine, seconds: number): Promise<number> {
  const script = join(import.meta.dirname, 'hash_floor.ts');
  const [file, args] = machine.pin('server', [process.execPath, script, String(seconds)]);
  return Number((await run(file, args)).stdout);
}

/** Processor seconds that a process has used, all threads; NaN where there is no /proc. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return NaN;
  }
}

/** Resident memory in MiB; NaN where there is no /proc. */
export function residentMb(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return NaN;
  }
}
