import type { MessagePort } from 'node:worker_threads';

import type { Config } from '../core/config.ts';
import type { HashJob } from '../core/hash_thread.ts';
import type { Level, LogOptions } from '../telemetry/log.ts';
import type { Snapshot } from '../telemetry/metrics_text.ts';

/** Where `hashing` says how many passwords wait to be hashed, and (as 1) that no more may. */
export const HASHING = { waiting: 0, full: 1 } as const;

/** What a serving thread is started with. */
export interface ServingData {
  config: Config;
  version: string;
  keys: readonly string[];
  /** The moment that monotonic time counts from in every thread: of `process.hrtime`. */
  origin: [seconds: number, nanoseconds: number];
  log: Pick<LogOptions, 'level' | 'format' | 'color'>;
  /** Of the `SharedStore`. */
  buckets: SharedArrayBuffer;
  /** Two numbers of 32 bits, by `HASHING`. */
  hashing: SharedArrayBuffer;
  /** 0: the thread finds one. */
  port: number;
}

/** What the main thread does for those that serve. */
export type MainVerbs = {
  /** It listens, on this port. */
  listening(port: number): void;
  beat(argument: undefined): void;
  /** Lines, in UTF-8. */
  log(lines: Uint8Array): void;
  hash(job: HashJob): Promise<Uint8Array>;
  /** The metrics of all threads, as text. */
  metrics(argument: undefined): Promise<string>;
  /** Something has been enqueued. */
  wakeJobs(argument: undefined): void;
  /** The shared buckets fail there, or work again. */
  limiterChanged(argument: undefined): void;
  /** A way to the one that writes; the answer comes when that is gone. */
  writer(port: MessagePort): Promise<unknown>;
};

/** What a serving thread does for the main one. */
export type ServingVerbs = {
  snapshot(argument: undefined): Snapshot;
  logLevel(level: Level): void;
  stopListening(argument: undefined): void;
  /** Drains, and has nothing open when it has answered. */
  stop(argument: undefined): Promise<void>;
};
