import { randomBytes, timingSafeEqual } from 'node:crypto';
import os from 'node:os';
import type { Worker } from 'node:worker_threads';

import { Failure, unavailable } from './errors.ts';
import type { HashJob } from './hash_thread.ts';
import { startThread } from './threads.ts';

/** scrypt's cost (RFC 7914): N = 2^log2N, block size r, parallelisation p; 128·N·r bytes a hash. */
export interface ScryptCost {
  log2N: number;
  r: number;
  p: number;
}

/** What derives keys, a bounded number of them at once. */
export interface Hashes {
  /** The derived key. Past the bound of those that may wait it refuses at once. */
  run(job: HashJob): Promise<Uint8Array>;
  /** Jobs that wait, and whether the next one would be refused. */
  readonly waiting: number;
  readonly full: boolean;
  close(): Promise<void>;
}

export interface HashSettings {
  /** Hashes at once; 0 = one per core. */
  concurrency: number;
  /** Hashes that may wait. */
  queue: number;
  /** How long a thread without work is kept, ms; 5,000 when left out. */
  idleMs?: number;
}

export interface PasswordSettings extends ScryptCost, HashSettings {}

export interface Passwords {
  /** A PHC string (`$scrypt$ln=15,r=8,p=3$salt$hash`) with a salt of its own. */
  hash(password: string): Promise<string>;
  /**
   * Whether `password` is the one behind `stored`. With undefined the same work is done and the answer is no, so that
   * nobody learns from the time whether there was anything to compare with. `outdated` says that the hash was made at
   * another cost and should be made again.
   */
  verify(password: string, stored: string | undefined): Promise<{ matches: boolean; outdated: boolean }>;
  /** Hashes waiting for a thread. */
  readonly waiting: number;
  /** Whether the next one would be refused. */
  readonly full: boolean;
  close(): Promise<void>;
}

const SALT_BYTES = 16;
const HASH_BYTES = 32;

export function createPasswords(settings: PasswordSettings, threads = createHashThreads(settings)): Passwords {
  const { log2N, r, p } = settings;
  const cost = { log2N, r, p };
  const decoy = toPhc(cost, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));

  return {
    async hash(password) {
      const salt = randomBytes(SALT_BYTES);
      return toPhc(cost, salt, await threads.run({ password, salt, ...cost, length: HASH_BYTES }));
    },

    async verify(password, stored) {
      const { cost: made, salt, hash } = fromPhc(stored ?? decoy);
      const computed = await threads.run({ password, salt, ...made, length: hash.length });
      const same = timingSafeEqual(computed, hash);
      const outdated = made.log2N !== cost.log2N || made.r !== cost.r || made.p !== cost.p;
      return { matches: same && stored !== undefined, outdated };
    },

    get waiting() {
      return threads.waiting;
    },
    get full() {
      return threads.full;
    },
    close: () => threads.close(),
  };
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '');

const toPhc = ({ log2N, r, p }: ScryptCost, salt: Uint8Array, hash: Uint8Array): string =>
  `$scrypt$ln=${log2N},r=${r},p=${p}$${toBase64(salt)}$${toBase64(hash)}`;

function fromPhc(stored: string): { cost: ScryptCost; salt: Buffer; hash: Buffer } {
  const match = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,4}),p=(\d{1,4})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(stored);
  if (match === null) throw new Error('a stored password hash is not a scrypt PHC string');
  const [, log2N, r, p, salt, hash] = match;
  return {
    cost: { log2N: Number(log2N), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt!, 'base64'),
    hash: Buffer.from(hash!, 'base64'),
  };
}

interface Waiting {
  job: HashJob;
  resolve(hash: Uint8Array): void;
  reject(reason: Error): void;
}

/**
 * Threads that hash, one job each at a time, started when there is work and ended when there was none for a while:
 * neither the event loop nor libuv's pool (files, DNS) waits behind a password.
 */
export function createHashThreads({ concurrency, queue: maxWaiting, idleMs = 5_000 }: HashSettings): Hashes {
  const most = concurrency || os.availableParallelism();
  const idle: Worker[] = [];
  const busy = new Map<Worker, Waiting>();
  const queue: Waiting[] = [];
  const timers = new Map<Worker, NodeJS.Timeout>();

  function start(): Worker {
    const thread = startThread(new URL('./hash_thread.ts', import.meta.url), 'hash');
    thread.unref();
    thread.on('message', (hash: Uint8Array) => {
      busy.get(thread)?.resolve(hash);
      busy.delete(thread);
      rest(thread);
    });
    thread.on('error', (cause) => busy.get(thread)?.reject(unavailable(cause)));
    thread.on('exit', () => {
      busy.get(thread)?.reject(unavailable());
      busy.delete(thread);
      clearTimeout(timers.get(thread));
      timers.delete(thread);
      const at = idle.indexOf(thread);
      if (at >= 0) idle.splice(at, 1);
      const next = queue.length > 0 && busy.size + idle.length < most ? queue.shift() : undefined;
      if (next !== undefined) give(start(), next);
    });
    return thread;
  }

  function give(thread: Worker, waiting: Waiting): void {
    clearTimeout(timers.get(thread));
    busy.set(thread, waiting);
    thread.ref();
    thread.postMessage(waiting.job);
  }

  function rest(thread: Worker): void {
    const next = queue.shift();
    if (next !== undefined) return give(thread, next);
    thread.unref();
    idle.push(thread);
    timers.set(thread, setTimeout(() => end(thread), idleMs).unref());
  }

  /** Ending takes a moment, in which it must not be given anything. */
  function end(thread: Worker): void {
    idle.splice(idle.indexOf(thread), 1);
    void thread.terminate();
  }

  return {
    get waiting() {
      return queue.length;
    },

    get full() {
      return queue.length >= maxWaiting && idle.length === 0 && busy.size >= most;
    },

    run(job) {
      return new Promise((resolve, reject) => {
        const waiting = { job, resolve, reject };
        const thread = idle.pop() ?? (busy.size < most ? start() : undefined);
        if (thread !== undefined) return give(thread, waiting);
        if (queue.length >= maxWaiting) return reject(new Failure('overloaded', undefined, { retryAfter: 1 }));
        queue.push(waiting);
      });
    },

    async close(): Promise<void> {
      for (const { reject } of queue.splice(0)) reject(unavailable());
      await Promise.all([...idle, ...busy.keys()].map((thread) => thread.terminate()));
    },
  };
}
