import { MessageChannel } from 'node:worker_threads';
import type { MessagePort, Worker } from 'node:worker_threads';

import { startThread } from '../core/threads.ts';
import type { ToWriter } from './sqlite_writer.ts';
import type { WriterData, WriterMessage } from './sqlite_writer_thread.ts';

export interface WriterThread {
  /** A way to it for this thread. */
  connect(): ToWriter;
  /** The same for another one, which has the other end of `port`; see `ToWriter.gone`. */
  serve(port: MessagePort): Promise<unknown>;
  close(): Promise<void>;
}

/** The one thread that writes, for all threads of the process: started at its first use, and again after a death. */
export function createWriterThread(data: WriterData): WriterThread {
  let thread: { worker: Worker; gone: Promise<unknown> } | undefined;

  function start() {
    const worker = startThread(new URL('./sqlite_writer_thread.ts', import.meta.url), 'sqlite-writer', data);
    worker.unref();
    let cause: unknown;
    worker.on('error', (error) => (cause = error));
    const gone = new Promise<unknown>((resolve) => {
      worker.on('exit', () => {
        thread = undefined;
        resolve(cause);
      });
    });
    return { worker, gone };
  }

  function serve(port: MessagePort): Promise<unknown> {
    thread ??= start();
    thread.worker.postMessage(port satisfies WriterMessage, [port]);
    return thread.gone;
  }

  return {
    connect() {
      const { port1, port2 } = new MessageChannel();
      return { port: port1, gone: serve(port2) };
    },
    serve,

    async close() {
      if (thread === undefined) return;
      thread.worker.ref();
      thread.worker.postMessage('close' satisfies WriterMessage);
      await thread.gone;
    },
  };
}
