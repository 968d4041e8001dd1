import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';

import { Failure } from '../core/errors.ts';
import { startThread } from '../core/threads.ts';
import type { Outcome, Statement } from './database.ts';
import { isPassing, toError } from './sqlite_connection.ts';
import type { WriteResult } from './sqlite_connection.ts';
import type { WriterData, WriterMessage } from './sqlite_writer_thread.ts';

export interface SqliteWriter {
  write(statements: readonly Statement[]): Promise<Outcome[] | undefined>;
  close(): Promise<void>;
}

interface Waiting {
  statements: readonly Statement[];
  resolve(outcomes: Outcome[] | undefined): void;
  reject(error: Error): void;
}

const MAX_WAITING = 10_000;
const MAX_BATCH = 256;

/** Settles a write with what the connection said of it. */
export function settle({ resolve, reject }: Omit<Waiting, 'statements'>, result: WriteResult): void {
  if ('error' in result) reject(toError(result.error));
  else resolve('outcomes' in result ? result.outcomes : undefined);
}

/**
 * The one thread that writes. It is started by the first write; while it commits, what arrives is gathered, and goes
 * to it as the next transaction: under load many writes share one flush to the disk. Should the thread die, the
 * writes that it had are refused and the next one starts it again.
 */
export function createWriter(file: string, lockTimeoutMs: number): SqliteWriter {
  const queue: Waiting[] = [];
  let committing: Waiting[] = [];
  let thread: Worker | undefined;
  let scheduled = false;

  function start(): Worker {
    const entry = new URL('./sqlite_writer_thread.ts', import.meta.url);
    const worker = startThread(entry, 'sqlite-writer', { file, lockTimeoutMs } satisfies WriterData);
    worker.unref();
    worker.on('message', (results: WriteResult[]) => {
      const done = committing;
      // What kept all of these out keeps out those behind them as well: nobody waits for the same lock in turn.
      const away = results.every((result) => 'error' in result && isPassing(result.error));
      const behind = away ? queue.splice(0) : [];
      for (const { reject } of behind) reject(new Failure('unavailable', undefined, { retryAfter: 1 }));
      committing = [];
      send();
      done.forEach((waiting, i) => settle(waiting, results[i]!));
      if (committing.length === 0) worker.unref();
    });
    let cause: unknown;
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => {
      if (thread === worker) thread = undefined;
      const lost = committing.splice(0);
      for (const { reject } of lost) reject(new Failure('unavailable', undefined, { cause, retryAfter: 1 }));
      send();
    });
    return worker;
  }

  function send(): void {
    scheduled = false;
    if (committing.length > 0 || queue.length === 0) return;
    committing = queue.splice(0, MAX_BATCH);
    thread ??= start();
    thread.ref();
    thread.postMessage(committing.map(({ statements }) => statements) satisfies WriterMessage);
  }

  return {
    write: (statements) =>
      new Promise((resolve, reject) => {
        if (queue.length >= MAX_WAITING) return reject(new Failure('unavailable', undefined, { retryAfter: 1 }));
        queue.push({ statements, resolve, reject });
        if (scheduled) return;
        scheduled = true;
        setImmediate(send);
      }),

    async close() {
      while (queue.length > 0 || committing.length > 0) await new Promise((resolve) => setImmediate(resolve));
      if (thread === undefined) return;
      thread.ref();
      const exit = once(thread, 'exit');
      thread.postMessage('close' satisfies WriterMessage);
      await exit;
    },
  };
}
