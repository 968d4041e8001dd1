import { parentPort } from 'node:worker_threads';

import { threadData } from '../core/threads.ts';
import { connect, toFault } from './sqlite_connection.ts';
import type { SqliteConnection, WriteResult } from './sqlite_connection.ts';
import type { Statement } from './database.ts';

/** What the writer thread is told: writes to commit together, or 'close'. */
export type WriterMessage = readonly (readonly Statement[])[] | 'close';

export interface WriterData {
  file: string;
  lockTimeoutMs: number;
}

const { file, lockTimeoutMs } = threadData<WriterData>();
let connection: SqliteConnection | undefined;

function commit(writes: readonly (readonly Statement[])[]): WriteResult[] {
  try {
    connection ??= connect(file, { lockTimeoutMs });
    return connection.commit(writes);
  } catch (error) {
    return writes.map(() => ({ error: toFault(error) }));
  }
}

/** After so long without a write it is quiet. */
const QUIET_MS = 2_000;
const quiet = setTimeout(tidy, QUIET_MS).unref();

function tidy(): void {
  try {
    if (connection?.tidy() === false) quiet.refresh();
  } catch {
    // Somebody has the write lock: after the next write it will be quiet again.
  }
}

parentPort!.on('message', (message: WriterMessage) => {
  quiet.refresh();
  if (message !== 'close') return parentPort!.postMessage(commit(message));
  clearTimeout(quiet);
  connection?.close();
  parentPort!.close();
});
