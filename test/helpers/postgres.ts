import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { openConnection } from '../../src/wire/postgres.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';

const url = process.env['TEST_POSTGRES_URL'];

/** For `test`'s options: why the tests that need a server are left out, or false. */
export const withoutServer: string | false =
  url === undefined && 'TEST_POSTGRES_URL is not set, e.g. to postgres://postgres@127.0.0.1:5432/postgres';

export const now = (): number => performance.now();

async function administer(adminUrl: string, sql: string): Promise<void> {
  const connection = await openConnection(toPostgresAddress(adminUrl), { greeting: '', timeoutMs: 60_000 });
  try {
    await connection.script(sql, 60_000);
  } finally {
    connection.close();
  }
}

export interface FreshDatabase {
  url: string;
  port: number;
  drop(): Promise<void>;
}

/** A database of a test file's own on the given server, by default that of TEST_POSTGRES_URL. */
export async function createDatabase(adminUrl: string = url ?? ''): Promise<FreshDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(adminUrl, `CREATE DATABASE ${name}`);
  const own = new URL(adminUrl);
  own.pathname = `/${name}`;
  return {
    url: own.href,
    port: toPostgresAddress(adminUrl).port,
    drop: () => administer(adminUrl, `DROP DATABASE ${name} WITH (FORCE)`),
  };
}

export interface Proxy {
  port: number;
  /** The same URL through the proxy. */
  through(url: string): string;
  /** How many bytes may still come from the server; the one after those cuts the connection that carries it. */
  cutAfter: number;
  /** Bytes that came from the server so far. */
  passed: number;
  /** Whether bytes from the server are handed on one at a time. */
  drip: boolean;
  close(): void;
}

/** A TCP proxy in front of a server on this machine. After a cut everything passes again. */
export async function openProxy(targetPort: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket.on('error', () => {}).on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      }));
    }
    client.setNoDelay().pipe(upstream);
    upstream.on('data', async (chunk: Buffer) => {
      const cut = chunk.length > proxy.cutAfter;
      const passing = cut ? chunk.subarray(0, proxy.cutAfter) : chunk;
      proxy.cutAfter = cut ? Infinity : proxy.cutAfter - chunk.length;
      proxy.passed += chunk.length;
      upstream.pause();
      for (const part of proxy.drip ? passing : []) {
        client.write(Buffer.of(part));
        await new Promise(setImmediate);
      }
      if (!proxy.drip && passing.length > 0) client.write(passing);
      upstream.resume();
      if (cut) client.destroySoon();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const proxy: Proxy = {
    port,
    through(url) {
      const other = new URL(url);
      other.hostname = '127.0.0.1';
      other.port = String(port);
      return other.href;
    },
    cutAfter: Infinity,
    passed: 0,
    drip: false,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return proxy;
}

/** A listener that treats each connection as it is told, and its URL. */
export async function openListener(serve: (socket: Socket) => void): Promise<{ url: string; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    serve(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `postgres://someone@127.0.0.1:${(server.address() as AddressInfo).port}/db`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
