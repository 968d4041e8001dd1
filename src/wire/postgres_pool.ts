import { setTimeout as sleep } from 'node:timers/promises';
import { openConnection } from './postgres.ts';
import type { Connection } from './postgres.ts';
import { NoConnection } from './postgres_errors.ts';
import type { PostgresAddress } from './postgres_url.ts';

export interface PoolOptions {
  address: PostgresAddress;
  /** Settings that every connection begins with. */
  greeting: string;
  /** Connections at once. */
  max: number;
  /** Callers that may wait for one; past that they are refused at once. */
  maxWaiting: number;
  /** For opening a connection. */
  connectMs: number;
  /** A connection unused for so long is closed. */
  idleMs: number;
  /** Monotonic milliseconds. */
  now: () => number;
}

interface Waiter {
  resolve: (connection: Connection) => void;
  reject: (error: NoConnection) => void;
  timer: NodeJS.Timeout;
}

interface Idle {
  connection: Connection;
  since: number;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/**
 * Connections to one server, opened when needed. After a failed attempt none is made for a while (50 ms, doubling up
 * to 2 s, jittered); callers are refused at once then if there is no connection to wait for.
 */
export class Pool {
  readonly #options: PoolOptions;
  readonly #live = new Set<Connection>();
  /** The most recently used last, so that the others grow old enough to be closed. */
  readonly #idle: Idle[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #sweeper: NodeJS.Timeout;
  #opening = 0;
  #failures = 0;
  #retryAt = -Infinity;
  #lastFailure: unknown;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), options.idleMs / 2).unref();
  }

  /**
   * A connection for the caller alone, to be given back with `release`. NoConnection: none by `deadline` (of the
   * pool's clock), or no hope of one.
   */
  acquire(deadline: number): Connection | Promise<Connection> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle.connection;
    const { maxWaiting, now } = this.#options;
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new NoConnection('The pool is closed.');
      if (this.#waiters.size >= maxWaiting) throw new NoConnection(`${maxWaiting} callers wait for a connection.`);
      const left = Math.max(0, deadline - now());
      const waiter: Waiter = {
        resolve,
        reject,
        timer: setTimeout(() => this.#refuse(waiter, 'No connection became free in time.'), left),
      };
      this.#waiters.add(waiter);
      this.#serve();
    });
  }

  /** Takes a connection back. One that has ended or is still inside a transaction is not used again. */
  release(connection: Connection): void {
    if (!connection.ended && (connection.status !== 'idle' || (this.#closed && this.#waiters.size === 0))) {
      connection.close();
    }
    if (!connection.ended) this.#idle.push({ connection, since: this.#options.now() });
    this.#serve();
  }

  /** Lets no more callers in, closes what is idle, and waits for those who use or await one, up to `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweeper);
    this.#closeIdle();
    const deadline = this.#options.now() + timeoutMs;
    const isBusy = (): boolean => this.#live.size + this.#opening + this.#waiters.size > 0;
    while (isBusy() && this.#options.now() < deadline) await sleep(5);
    for (const waiter of this.#waiters) this.#refuse(waiter, 'The pool is closed.');
    for (const connection of this.#live) connection.close();
  }

  /** Gives idle connections to those who wait, opens more if that is not enough, refuses when there is no hope. */
  #serve(): void {
    const { max, now } = this.#options;
    for (const waiter of this.#waiters) {
      const idle = this.#idle.pop();
      if (idle === undefined) break;
      this.#waiters.delete(waiter);
      clearTimeout(waiter.timer);
      waiter.resolve(idle.connection);
    }
    if (this.#waiters.size === 0) return;
    const mayOpen = now() >= this.#retryAt;
    while (mayOpen && this.#opening < this.#waiters.size && this.#live.size + this.#opening < max) void this.#open();
    if (this.#live.size + this.#opening > 0) return;
    for (const waiter of this.#waiters) this.#refuse(waiter, 'The database is away.', this.#lastFailure);
  }

  async #open(): Promise<void> {
    const { address, greeting, connectMs } = this.#options;
    this.#opening += 1;
    try {
      const connection = await openConnection(address, { greeting, timeoutMs: connectMs });
      if (connection.ended) throw new NoConnection('A connection ended as soon as it was opened.');
      this.#failures = 0;
      this.#live.add(connection);
      connection.onEnd = ({ contagious }) => {
        this.#live.delete(connection);
        const index = this.#idle.findIndex((idle) => idle.connection === connection);
        if (index >= 0) this.#idle.splice(index, 1);
        if (contagious) this.#closeIdle();
        this.#serve();
      };
      this.#opening -= 1;
      this.release(connection);
    } catch (error) {
      this.#opening -= 1;
      this.#lastFailure = error;
      this.#backOff();
      this.#serve();
    }
  }

  /** Attempts that fail together count as one. */
  #backOff(): void {
    const now = this.#options.now();
    if (now < this.#retryAt) return;
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    this.#retryAt = now + pause * (0.5 + Math.random() / 2);
  }

  #refuse(waiter: Waiter, message: string, cause?: unknown): void {
    this.#waiters.delete(waiter);
    clearTimeout(waiter.timer);
    waiter.reject(new NoConnection(message, cause === undefined ? undefined : { cause }));
  }

  #closeIdle(): void {
    for (const { connection } of this.#idle.splice(0)) connection.close();
  }

  #sweep(): void {
    const oldest = this.#options.now() - this.#options.idleMs;
    while (this.#idle[0] !== undefined && this.#idle[0].since <= oldest) this.#idle.shift()?.connection.close();
  }
}
