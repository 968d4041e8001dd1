import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { cpuSeconds, residentMb } from './machine.ts';
import type { Machine } from './machine.ts';

export interface TargetOptions {
  name: string;
  script: string;
  env: Record<string, string>;
  cwd: string;
  /** Where its stderr goes; stdout, with a line for every request, goes to /dev/null. */
  errorFile: string;
  machine: Machine;
}

/** A server that is measured: started, stopped, and frozen while the other one is measured. */
export interface Target {
  readonly name: string;
  readonly port: number;
  /** Milliseconds from spawning it to its first answer of 200. `extra` is laid over its environment. */
  start(extra?: Record<string, string>): Promise<number>;
  stop(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** 0 when it is not running. */
  pid(): number;
  cpuSeconds(): number;
  residentMb(): number;
}

const startTimeoutMs = 30_000;

export async function createTarget(options: TargetOptions): Promise<Target> {
  const { name, script, env, cwd, errorFile, machine } = options;
  const port = await freePort();
  let child: ChildProcess | undefined;
  // A frozen process hears no SIGTERM, and must not outlive this one.
  process.on('exit', () => child?.kill('SIGKILL'));

  return {
    name,
    port,
    async start(extra = {}) {
      const stderr = openSync(errorFile, 'a');
      const [file, args] = machine.pin('server', [process.execPath, script]);
      const began = performance.now();
      const started = spawn(file, args, {
        cwd,
        env: { ...env, PORT: String(port), ...extra },
        stdio: ['ignore', 'ignore', stderr],
      });
      child = started;
      closeSync(stderr);
      while (!(await answers(port))) {
        if (started.exitCode !== null || performance.now() - began > startTimeoutMs) {
          throw new Error(`${name} does not start: ${readFileSync(errorFile, 'utf8').slice(-2000)}`);
        }
        await sleep(1);
      }
      return performance.now() - began;
    },
    async stop() {
      const stopped = child;
      child = undefined;
      if (stopped === undefined || stopped.exitCode !== null) return;
      const gone = once(stopped, 'exit');
      stopped.kill('SIGCONT');
      stopped.kill('SIGTERM');
      const timer = setTimeout(() => stopped.kill('SIGKILL'), 15_000);
      await gone;
      clearTimeout(timer);
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    pid: () => child?.pid ?? 0,
    cpuSeconds: () => cpuSeconds(child?.pid ?? 0),
    residentMb: () => residentMb(child?.pid ?? 0),
  };
}

/** Whether `ping` is answered with 200 now. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path: '/api/v1/public/ping', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
    request.setTimeout(5_000, () => request.destroy());
  });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
