import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openRedis } from '../../src/wire/redis.ts';
import type { Redis, RedisOptions } from '../../src/wire/redis.ts';

/** Options of `test` that skip it, with the reason, where the program that it needs is not installed. */
export function needs(program: string): { skip?: string } {
  const missing = spawnSync(program, ['--version']).error !== undefined;
  return missing ? { skip: `${program} is not installed` } : {};
}

export const now = (): number => Number(process.hrtime.bigint());

/** A client that is closed when the test ends. */
export async function client(t: TestContext, url: string, options: Partial<RedisOptions> = {}): Promise<Redis> {
  const redis = await openRedis({ url, now, random: () => 0, connectMs: 10_000, ...options });
  t.after(() => redis.close());
  return redis;
}

/** A client that waits for replies as long as it takes. */
export const patient = (t: TestContext, url: string): Promise<Redis> => client(t, url, { deadlineMs: 20_000 });

/** Resolves once `condition` holds; a test that waits for 20 s has failed. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`this never came true: ${condition}`);
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export interface RedisServer {
  port: number;
  url: string;
  folder: string;
  signal(name: NodeJS.Signals): void;
  /** Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port and folder. */
  start(args?: string[]): Promise<void>;
}

/** A redis-server of the test's own, which ends with it. */
export async function redisServer(t: TestContext, args: string[] = []): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'redis-'));
  const port = await freePort();
  let child: ReturnType<typeof spawn>;
  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    signal: (name) => void child.kill(name),
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    async start(args = []) {
      const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
      child = spawn('redis-server', [...fixed, '--enable-debug-command', 'local', ...args], { stdio: 'ignore' });
      await until(() => child.exitCode === null && listens(port));
    },
  };
  t.after(async () => {
    await server.kill();
    rmSync(folder, { recursive: true });
  });
  await server.start(args);
  return server;
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });

export interface RawServer {
  url: string;
  /** Connections so far. */
  connections: number;
}

/** A server that says what a test wants, byte for byte. `serve` gets each connection and its number, from 1. */
export async function rawServer(
  t: TestContext,
  serve: (socket: net.Socket, connection: number) => void,
): Promise<RawServer> {
  const sockets = new Set<net.Socket>();
  const raw: RawServer = { url: '', connections: 0 };
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket, ++raw.connections);
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  raw.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return raw;
}

/** Answers `PING` with `+PONG` and anything else with `reply`: enough of a Redis for one command at a time. */
export function answer(socket: net.Socket, reply: string): void {
  socket.on('data', (chunk) => socket.write(chunk.includes('PING') ? '+PONG\r\n' : Buffer.from(reply, 'latin1')));
}
