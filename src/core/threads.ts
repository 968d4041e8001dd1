import { getCompileCacheDir } from 'node:module';
import path from 'node:path';
import { Worker, workerData } from 'node:worker_threads';
import type { ResourceLimits } from 'node:worker_threads';

interface ThreadData<T> {
  entry: string;
  compileCache: string | undefined;
  data: T;
}

/** Starts a thread with the module `entry`, which finds `data` with `threadData()`. */
export function startThread(entry: URL, name: string, data?: unknown, resourceLimits: ResourceLimits = {}): Worker {
  const cache = getCompileCacheDir();
  // Node adds a folder for its version, which it would add again.
  const compileCache = cache === undefined ? undefined : path.dirname(cache);
  const given: ThreadData<unknown> = { entry: entry.href, compileCache, data };
  return new Worker(new URL('./thread_entry.js', import.meta.url), { name, workerData: given, resourceLimits });
}

/** In a thread: what it was started with. */
export const threadData = <T>(): T => (workerData as ThreadData<T>).data;
