import type { MessagePort } from 'node:worker_threads';

import { unavailable } from '../core/errors.ts';
import type { Outcome, Statement } from './database.ts';
import { isPassing, toError } from './sqlite_connection.ts';
import type { WriteResult } from './sqlite_connection.ts';
import type { Writes } from './sqlite_writer_thread.ts';

export interface SqliteWriter {
  write(statements: readonly Statement[]): Promise<Outcome[] | undefined>;
  close(): Promise<void>;
}

/** A way to the thread that writes. */
export interface ToWriter {
  port: MessagePort;
  /** Once that thread is gone, what it died of. */
  gone: Promise<unknown>;
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
 * This thread's way to the one that writes; `connect` opens it, at the first write and when the writer has died since.
 * While it commits, what arrives is gathered, and goes to it as the next transaction: under load many writes share
 * one flush to the disk. Should it die, the writes that it had are refused, and the next one connects again.
 */
export function createWriter(connect: () => ToWriter): SqliteWriter {
  const queue: Waiting[] = [];
  let committing: Waiting[] = [];
  let port: MessagePort | undefined;
  let scheduled = false;
  let onIdle = (): void => {};

  function open(): MessagePort {
    const { port: opened, gone } = connect();
    opened.on('message', (results: WriteResult[]) => {
      const done = committing;
      // What kept all of these out keeps out those behind them as well: nobody waits for the same lock in turn.
      const passing = results.every((result) => 'error' in result && isPassing(result.error));
      const behind = passing ? queue.splice(0) : [];
      for (const { reject } of behind) reject(unavailable());
      committing = [];
      send();
      done.forEach((waiting, i) => settle(waiting, results[i]!));
      if (committing.length === 0) opened.unref();
      if (isIdle()) onIdle();
    });
    opened.on('close', () => {
      // Until it is gone, it would be given the next writes as well.
      void gone.then((cause) => {
        port = undefined;
        for (const { reject } of committing.splice(0)) reject(unavailable(cause));
        send();
        if (isIdle()) onIdle();
      });
    });
    return opened;
  }

  const isIdle = (): boolean => queue.length === 0 && committing.length === 0;

  function send(): void {
    scheduled = false;
    if (committing.length > 0 || queue.length === 0) return;
    committing = queue.splice(0, MAX_BATCH);
    port ??= open();
    port.ref();
    port.postMessage(committing.map(({ statements }) => statements) satisfies Writes);
  }

  return {
    write: (statements) =>
      new Promise((resolve, reject) => {
        if (queue.length >= MAX_WAITING) return reject(unavailable());
        queue.push({ statements, resolve, reject });
        if (scheduled) return;
        scheduled = true;
        setImmediate(send);
      }),

    async close() {
      if (!isIdle()) await new Promise<void>((resolve) => (onIdle = resolve));
      port?.close();
    },
  };
}
