import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import type { Load, LoadResult } from './load.ts';

const run = promisify(execFile);
const ticksPerSecond = 100;

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
  // More threads than cores get in each other's way: the floor is what the core gives at its best.
  const env = machine.isPinned ? { ...process.env, UV_THREADPOOL_SIZE: '1' } : process.env;
  return Number((await run(file, args, { env })).stdout);
}

/** Processor seconds that a process has used, all threads; NaN where there is no /proc. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return NaN;
  }
}

/** Processor seconds spent on the two cores by anyone (time taken by the hypervisor is), and by us. */
function spent(pids: readonly number[]): { at: number; all: number; own: number } {
  const lines = readFileSync('/proc/stat', 'utf8').split('\n').filter((line) => /^cpu[01] /.test(line));
  const fields = lines.map((line) => line.split(' ').slice(1).map(Number));
  const all = fields.reduce((sum, [user = 0, nice = 0, system = 0, , , , , steal = 0]) =>
    sum + user + nice + system + steal, 0);
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const self = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 15).map(Number);
  const others = pids.map(cpuSeconds).filter(Number.isFinite);
  const own = self.reduce((sum, ticks) => sum + ticks, 0) / ticksPerSecond + others.reduce((sum, s) => sum + s, 0);
  return { at: performance.now(), all: all / ticksPerSecond, own };
}

/** What part of one core other processes may take before a run is done again. */
const disturbance = 0.08;
/** How often a run is done at most. */
export const attempts = 3;
/** After this long there is no more doing again. */
const patienceMs = 300_000;

/** Runs until other processes leave it alone; the least disturbed result, and whether it was disturbed all the same. */
export async function undisturbed<T>(
  { isPinned }: Machine,
  pids: readonly number[],
  run: () => Promise<T>,
): Promise<{ result: T; disturbed: boolean }> {
  if (!isPinned) return { result: await run(), disturbed: false };
  let best: { result: T; foreign: number } | undefined;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const before = spent(pids);
    const result = await run();
    const after = spent(pids);
    const foreign = (after.all - before.all - (after.own - before.own)) / ((after.at - before.at) / 1000);
    if (best === undefined || foreign < best.foreign) best = { result, foreign };
    if (foreign <= disturbance || performance.now() > patienceMs) break;
  }
  if (best === undefined) throw new Error('no attempt was made');
  return { result: best.result, disturbed: best.foreign > disturbance };
}

/** Resident memory in MiB; NaN where there is no /proc. */
export function residentMb(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return NaN;
  }
}
