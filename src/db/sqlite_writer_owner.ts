import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort, Worker } from 'node:worker_threads';

import { startThread } from '../core/threads.ts';
import type { WriterData, WriterMessage } from './sqlite_writer_thread.ts';

export interface WriterThread {
  /** A way to it for this thread. */
  connect(): MessagePort;
  /** The same for another one, which has the other end of `port`. */
  serve(port: MessagePort): void;
  /** What the last one died of. */
  whyGone(): unknown;
  close(): Promise<void>;
}

/** The one thread that writes, for all threads of the process: started at its first use, and again after a death. */
export function createWriterThread(data: WriterData): WriterThread {
  let thread: Worker | undefined;
  let cause: unknown;

  function start(): Worker {
    const worker = startThread(new URL('./sqlite_writer_thread.ts', import.meta.url), 'sqlite-writer', data);
    worker.unref();
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => {
      if (thread === worker) thread = undefined;
    });
    return worker;
  }

  function serve(port: MessagePort): void {
    thread ??= start();
    thread.postMessage(port satisfies WriterMessage, [port]);
  }

  return {
    connect() {
      const { port1, port2 } = new MessageChannel();
      serve(port2);
      const writer = thread;
      // The ports of a thread that dies close before its end is told.
      port1.once('close', () => {
        if (thread === writer) thread = undefined;
      });
      return port1;
    },
    serve,
    whyGone: () => cause,

    async close() {
      if (thread === undefined) return;
      thread.ref();
      const exit = once(thread, 'exit');
      thread.postMessage('close' satisfies WriterMessage);
      await exit;
    },
  };
}
