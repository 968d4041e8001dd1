import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export const execute = promisify(execFile);

const versions = '/usr/lib/postgresql';
const newest = existsSync(versions) ? readdirSync(versions).sort((a, b) => Number(b) - Number(a))[0] : undefined;
const binaries = join(versions, newest ?? '', 'bin');

/** PostgreSQL refuses to run as root: it is started as the user `postgres` then. */
function unprivileged(): { uid?: number; gid?: number } | undefined {
  if (process.getuid?.() !== 0) return {};
  const entry = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
  return entry === null ? undefined : { uid: Number(entry[1]), gid: Number(entry[2]) };
}
const identity = unprivileged();

/** For `test`'s options: why the tests that start a server of their own are left out, or false. */
export const withoutBinaries: string | false =
  (newest === undefined && `there is no PostgreSQL in ${versions}`) ||
  (identity === undefined && 'there is no user postgres to run a server as');

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A folder that the servers' user owns. */
export function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'postgres-test-'));
  if (identity?.uid !== undefined) chownSync(folder, identity.uid, identity.gid ?? identity.uid);
  return folder;
}

/** A file that the servers' user owns and nobody else reads. */
export function ownFile(path: string, content: string): void {
  writeFileSync(path, content, { mode: 0o600 });
  if (identity?.uid !== undefined) chownSync(path, identity.uid, identity.gid ?? identity.uid);
}

/** Starts a program as the servers' user. */
export const spawnAsOwner = (program: string, args: readonly string[]): ChildProcess =>
  spawn(program, args, { stdio: 'ignore', ...identity });

/** What `ps` says of no process; its exit code is 1 then. */
const nothing = { stdout: '' };

/** The processes that a server has made, by their ids. */
async function childrenOf(server: ChildProcess | undefined): Promise<string[]> {
  const { stdout } = await execute('ps', ['-o', 'pid=', '--ppid', String(server?.pid)]).catch(() => nothing);
  return stdout.split(/\s+/).filter(Boolean);
}

/** Those of a server that was killed answer for a moment longer. */
async function anyAlive(pids: readonly string[]): Promise<boolean> {
  const { stdout } = await execute('ps', ['-o', 'stat=', '-p', pids.join(',')]).catch(() => nothing);
  return stdout.split('\n').some((state) => /^[^Z]/.test(state.trim()));
}

export interface Cluster {
  folder: string;
  port: number;
  /** As the superuser, without a password. */
  url: string;
  start(): Promise<void>;
  /** Ends the server by a signal: SIGINT is its fast shutdown, SIGKILL a crash. */
  stop(signal: 'SIGINT' | 'SIGKILL'): Promise<void>;
  /** SIGSTOP or SIGCONT for the server and all its processes. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  close(): Promise<void>;
}

/** A PostgreSQL server of the test's own. `settings` go to its command line, `hba` before the superuser's line. */
export async function createCluster({ settings = [], hba = '' }: { settings?: string[]; hba?: string } = {}): Promise<
  Cluster
> {
  const folder = ownFolder();
  const data = join(folder, 'data');
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const program = (name: string): string => join(binaries, name);
  await execute(program('initdb'), ['-D', data, '-U', 'postgres', '--no-sync', '-A', 'trust', '-E', 'UTF8'], {
    ...identity,
    cwd: folder,
  });
  ownFile(join(data, 'pg_hba.conf'), `${hba}\nhost all postgres 127.0.0.1/32 trust\n`);
  let child: ChildProcess | undefined;

  const cluster: Cluster = {
    folder,
    port,
    url,
    async start() {
      const listening = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
      const options = [...listening, 'fsync=off', ...settings];
      for (let tries = 1; ; tries += 1) {
        child = spawnAsOwner(program('postgres'), ['-D', data, ...options.flatMap((option) => ['-c', option])]);
        const ready = async (): Promise<boolean> => {
          while (child?.exitCode === null) {
            const accepts = await execute(program('pg_isready'), ['-h', '127.0.0.1', '-p', String(port)]).then(
              () => true,
              () => false,
            );
            if (accepts) return true;
            await sleep(20);
          }
          return false;
        };
        if (await ready()) return;
        // After a crash the orphans of the old server hold its memory for a moment.
        if (tries === 50) throw new Error('The test server does not start.');
        await sleep(100);
      }
    },
    async stop(signal) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      const orphans = await childrenOf(child);
      child.kill(signal);
      await exited;
      while (await anyAlive(orphans)) await sleep(10);
    },
    async signal(name) {
      for (const each of [String(child?.pid), ...(await childrenOf(child))]) {
        try {
          process.kill(Number(each), name);
        } catch (error) {
          // It had ended, and a server that goes on has just noticed.
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
        }
      }
    },
    async close() {
      if (child?.exitCode === null && child.signalCode === null) await cluster.signal('SIGCONT');
      await cluster.stop('SIGINT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await cluster.start();
  return cluster;
}
