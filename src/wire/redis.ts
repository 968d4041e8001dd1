import net from 'node:net';
import tls from 'node:tls';
import { RedisConnection } from './redis_connection.ts';
import { RedisError } from './resp.ts';
import type { Reply } from './resp.ts';
import { toRedisTarget } from './redis_target.ts';
import type { RedisTarget } from './redis_target.ts';

export interface RedisOptions {
  url: string;
  /** Monotonic nanoseconds. */
  now: () => number;
  /** At least 0, less than 1: spreads the attempts of many instances. */
  random: () => number;
  /** One call, from the moment that it is written. */
  deadlineMs?: number;
  /** One attempt to connect: name, TCP, TLS, password and a first answer. */
  connectMs?: number;
  maxCalls?: number;
  maxReplyBytes?: number;
}

export interface Redis {
  /** Connected and let in. */
  readonly up: boolean;
  /**
   * Sends one command. Rejects with `RedisError` when Redis says no, and with another error when the outcome is
   * unknown or nothing was sent: not connected (at once, a call never waits for a connection), too many calls
   * waiting, past the deadline, connection broken.
   */
  call(args: readonly string[]): Promise<Reply>;
  /** Rejects what waits; no call and no attempt after this. */
  close(): Promise<void>;
}

/** Attempts are never further apart than this and one `connectMs`. */
const MAX_PAUSE_MS = 1000;
const FIRST_PAUSE_MS = 100;

/**
 * Keeps one connection to a Redis (5 or newer), and makes a new one in the background whenever it is lost, for as long
 * as it takes. Resolves when the first attempt is decided, either way. Throws when the URL is no such URL.
 * An idle connection or a pause does not hold the process.
 */
export async function openRedis(options: RedisOptions): Promise<Redis> {
  const { url, now, random, deadlineMs = 50, connectMs = 1000, maxCalls = 10_000, maxReplyBytes = 65_536 } = options;
  const target = toRedisTarget(url);
  const secureContext = target.tls ? tls.createSecureContext() : undefined;
  let current: RedisConnection | undefined;
  let up = false;
  let closed = false;
  let failures = 0;
  let pause: NodeJS.Timeout | undefined;
  let reason = new Error('Redis is not connected');

  const onEnd = (why: Error) => {
    up = false;
    current = undefined;
    reason = new Error(`Redis is not connected: ${messageOf(why)}`);
    if (closed) return;
    const most = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10));
    failures++;
    pause = setTimeout(() => void connect(), most * (0.5 + random() / 2)).unref();
  };

  const connect = async () => {
    const socket = secureContext === undefined
      ? net.connect({ host: target.host, port: target.port, noDelay: true, keepAlive: true })
      : toTls(target, secureContext);
    const connection = new RedisConnection({ socket, now, maxCalls, maxReplyBytes, onEnd });
    current = connection;
    try {
      await greet(connection, target, connectMs * 1e6);
    } catch (error) {
      connection.end(error as Error);
      return;
    }
    if (current !== connection) return;
    socket.unref();
    failures = 0;
    up = true;
  };

  await connect();
  return {
    get up() {
      return up;
    },
    call: (args) => (up ? current!.call(args, deadlineMs * 1e6) : Promise.reject(reason)),
    async close() {
      closed = true;
      clearTimeout(pause);
      current?.end(new Error('Redis was closed'));
    },
  };
}

/** The certificate is verified whatever NODE_TLS_REJECT_UNAUTHORIZED says, and so is the name or address in it. */
function toTls({ host, port }: RedisTarget, secureContext: tls.SecureContext): net.Socket {
  const servername = net.isIP(host) === 0 ? host : '';
  const socket = tls.connect({ host, port, servername, secureContext, rejectUnauthorized: true });
  return socket.setNoDelay(true).setKeepAlive(true);
}

/** Everything in one write; `deadline` (nanoseconds) covers connecting too. */
async function greet(connection: RedisConnection, target: RedisTarget, deadline: number): Promise<void> {
  const { user, password, db } = target;
  const steps: [args: string[], expected: string][] = [];
  if (password !== undefined) steps.push([user === undefined ? ['AUTH', password] : ['AUTH', user, password], 'OK']);
  if (db !== 0) steps.push([['SELECT', String(db)], 'OK']);
  steps.push([['PING'], 'PONG']);
  await Promise.all(
    steps.map(async ([args, expected]) => {
      try {
        const reply = await connection.call(args, deadline);
        if (reply !== expected) throw new Error(`unexpected answer to ${args[0]}`);
      } catch (error) {
        // Only the code: the text of some refusals repeats the command, password and all.
        throw error instanceof RedisError ? new Error(`${args[0]} was refused (${error.code})`) : error;
      }
    }),
  );
}

/** Several addresses of one name fail as an AggregateError, which has no message of its own. */
const messageOf = (error: Error & { code?: string }): string => error.message || (error.code ?? error.name);
