import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';

import type { Hashes } from '../core/passwords.ts';
import { createSharedBuckets } from '../core/rate_limit_shared.ts';
import type { Database } from '../db/database.ts';
import { poolOf } from '../db/session.ts';
import type { Level, Log } from '../telemetry/log.ts';
import { merged, renderText } from '../telemetry/metrics_text.ts';
import type { Snapshot } from '../telemetry/metrics_text.ts';
import { startServing } from './serving_thread.ts';
import type { Reason, ServingThread } from './serving_thread.ts';
import { HASHING } from './verbs.ts';
import type { MainVerbs, ServingData } from './verbs.ts';

export interface SupervisorOptions {
  /** The module that each of them runs. */
  entry: URL;
  data: Omit<ServingData, 'buckets' | 'hashing' | 'port'>;
  /** What the process has once. */
  hashes: Hashes;
  db: Database;
  log: Log;
  /** What the main thread has counted. */
  snapshot(): Snapshot;
  wakeJobs(): void;
  lookAtLimiter(): void;
  /** A thread has died and is replaced. */
  onReplaced(reason: Reason): void;
  /** Monotonic nanoseconds. */
  monotonic(): number;
}

export interface ServingThreads {
  readonly port: number;
  /** The server has said that it listens: now they may log. */
  announced(): void;
  setLogLevel(level: Level): void;
  /** Drains all, and ends them. */
  stop(): Promise<void>;
}

const LOOK_MS = 1000;
/** How long the threads have to tell what they counted. */
const SNAPSHOT_MS = 1000;
/** How long one that is busy may keep the others from draining. */
const DEAF_MS = 500;
/** How long they have to close what they hold, beyond the time to drain. */
const CLOSING_MS = 5000;
/** How long after its death a thread is replaced: longer each time, until one has lived long. */
const [FIRST_WAIT_MS, LAST_WAIT_MS, LONG_LIFE_MS] = [100, 5000, 30_000];

/**
 * Threads that serve one port, and what they share: buckets, hashing, the writer, the log. One that dies is replaced
 * while the others serve. Resolves when all listen; rejects when one of the first cannot.
 */
export async function openServingThreads(options: SupervisorOptions): Promise<ServingThreads> {
  const { entry, data, hashes, db, log, monotonic } = options;
  const { config } = data;
  const { host, rateLimitMaxKeys, shutdownTimeout, workers } = config;
  const shared = { buckets: createSharedBuckets(rateLimitMaxKeys), hashing: new SharedArrayBuffer(8) };
  const gauges = new Int32Array(shared.hashing);
  const heapMb = Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20 / workers);
  /** By their numbers, from 1. */
  const threads = new Map<number, ServingThread>();
  const timers = new Set<NodeJS.Timeout>();
  let port = config.port;
  let form = data.log;
  /** Counted by threads that are gone. */
  let past: Snapshot = [];
  /** The first line of the log is not theirs: what they log waits for it. */
  const announced = Promise.withResolvers<void>();
  let isStarting = true;
  let isStopping = false;

  function noteHashing(): void {
    Atomics.store(gauges, HASHING.waiting, hashes.waiting);
    Atomics.store(gauges, HASHING.full, hashes.full ? 1 : 0);
  }

  const verbs: Omit<MainVerbs, 'listening' | 'beat'> = {
    log: (lines) => void announced.promise.then(() => log.relay(lines)),
    hash(job) {
      const hash = hashes.run(job).finally(noteHashing);
      noteHashing();
      return hash;
    },
    async metrics() {
      const asked = [...threads.values()].map(async (thread) => {
        const snapshot = thread.calls.ask('snapshot', undefined).catch(() => undefined);
        const answer = await Promise.race([snapshot, sleep(SNAPSHOT_MS, undefined, { ref: false })]);
        thread.counted = answer ?? thread.counted;
      });
      await Promise.all(asked);
      return renderText([options.snapshot(), past, ...[...threads.values()].map(({ counted }) => counted)]);
    },
    wakeJobs: options.wakeJobs,
    limiterChanged: options.lookAtLimiter,
    writer: (end) => db.serveWriter!(end),
  };

  function start(number: number, lastWaitMs = 0): ServingThread {
    const name = `serve-${number}`;
    const startedAt = monotonic();
    const ofThread = { ...config, databasePoolMax: poolOf(config, number) };
    const thread = startServing({
      entry, name, verbs,
      data: { ...data, ...shared, config: ofThread, log: form, port },
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
      onEnd(reason, error) {
        threads.delete(number);
        past = [...merged([past, thread.counted.filter(({ kind }) => kind !== 'gauge')])];
        if (isStopping || (isStarting && !thread.serves)) return;
        const livedMs = (monotonic() - startedAt) / 1e6;
        const longerMs = Math.min(LAST_WAIT_MS, Math.max(FIRST_WAIT_MS, lastWaitMs * 2));
        const waitMs = livedMs > LONG_LIFE_MS ? FIRST_WAIT_MS : longerMs;
        options.onReplaced(reason);
        log.error('A thread that served has died, and is replaced.', { thread: name, reason, wait_ms: waitMs, error });
        const timer = setTimeout(() => {
          timers.delete(timer);
          start(number, waitMs);
        }, waitMs);
        timers.add(timer);
      },
    });
    threads.set(number, thread);
    return thread;
  }

  function replaceNoMore(): void {
    isStopping = true;
    for (const timer of timers) clearTimeout(timer);
  }

  async function endAll(): Promise<void> {
    replaceNoMore();
    clearInterval(looking);
    await Promise.all([...threads.values()].map((thread) => thread.end()));
  }

  const looking = setInterval(() => {
    for (const thread of threads.values()) thread.look();
  }, LOOK_MS);
  try {
    if (port !== 0) await assertFree(host, port);
    port = await start(1).listening;
    await Promise.all(Array.from({ length: workers - 1 }, (_, i) => start(i + 2).listening));
  } catch (error) {
    announced.resolve();
    await endAll();
    throw error;
  }
  isStarting = false;

  return {
    port,
    announced: announced.resolve,

    setLogLevel(level) {
      form = { ...form, level };
      for (const { calls } of threads.values()) calls.tell('logLevel', level);
    },

    async stop() {
      replaceNoMore();
      for (const thread of threads.values()) if (!thread.serves) void thread.end();
      const askAll = (verb: 'stopListening' | 'stop') =>
        Promise.all([...threads.values()].map(({ calls }) => calls.ask(verb, undefined).catch(() => {})));
      // First all turn deaf: who is sent away by one would come to another, and be reset as that closes.
      await Promise.race([askAll('stopListening'), sleep(DEAF_MS, undefined, { ref: false })]);
      await Promise.race([askAll('stop'), sleep(shutdownTimeout + CLOSING_MS, undefined, { ref: false })]);
      await endAll();
    },
  };
}

/** Rejects when anyone listens there: another server that shares its port in the same way would go unnoticed. */
async function assertFree(host: string, port: number): Promise<void> {
  const probe = createServer().listen({ host, port, exclusive: true });
  await once(probe, 'listening');
  probe.close();
  await once(probe, 'close');
}
