import type { ResourceLimits, Worker } from 'node:worker_threads';

import { releaseTable } from '../core/shared_table.ts';
import { startThread } from '../core/threads.ts';
import type { Snapshot } from '../telemetry/metrics_text.ts';
import { openCalls } from './calls.ts';
import type { Calls } from './calls.ts';
import type { MainVerbs, ServingData, ServingVerbs } from './verbs.ts';

/** What a thread died of. */
export type Reason = 'error' | 'out of memory' | 'stuck';

export interface ServingOptions {
  /** The module that it runs, with `data`. */
  entry: URL;
  name: string;
  data: ServingData;
  resourceLimits: ResourceLimits;
  verbs: Omit<MainVerbs, 'listening' | 'beat'>;
  /** Called once, however it ends. */
  onEnd(reason: Reason, error: Error | undefined): void;
}

/** A thread that serves, as the main thread sees it. */
export interface ServingThread {
  readonly calls: Calls<ServingVerbs>;
  /** The port once it listens; rejects when it ends before. */
  readonly listening: Promise<number>;
  readonly serves: boolean;
  /** What it had counted when it was last asked. */
  counted: Snapshot;
  /** To be called every second: ends a thread that was not heard of for ten, or sixty before it serves. */
  look(): void;
  end(): Promise<number>;
}

/** Looks at a thread before it counts as stuck. Looks, not time: this process itself may have been stopped. */
const PATIENCE = 10;
/** The same for one that does not serve yet: on a busy machine it takes that long to load its modules alone. */
const STARTING_PATIENCE = 60;

export function startServing({ entry, name, data, resourceLimits, verbs, onEnd }: ServingOptions): ServingThread {
  const worker: Worker = startThread(entry, name, data, resourceLimits);
  const { threadId } = worker;
  const { promise: listening, resolve, reject } = Promise.withResolvers<number>();
  listening.catch(() => {}); // Nobody waits for one that replaces another.
  let silent = 0;
  let serves = false;
  let isStuck = false;
  let error: (Error & { code?: string }) | undefined;

  const calls = openCalls<ServingVerbs>(worker, {
    ...verbs,
    listening(port: number) {
      serves = true;
      silent = 0;
      resolve(port);
    },
    beat: () => void (silent = 0),
  });
  worker.on('error', (thrown) => (error = thrown));
  worker.on('exit', () => {
    releaseTable(data.buckets, threadId);
    calls.close();
    reject(error ?? new Error('a thread ended before it served'));
    const isFull = error?.code === 'ERR_WORKER_OUT_OF_MEMORY';
    onEnd(isFull ? 'out of memory' : isStuck ? 'stuck' : 'error', error);
  });

  return {
    calls,
    listening,
    get serves() {
      return serves;
    },
    counted: [],
    look() {
      silent++;
      isStuck ||= silent >= (serves ? PATIENCE : STARTING_PATIENCE);
      if (isStuck) void worker.terminate();
    },
    end: () => worker.terminate(),
  };
}
