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

parentPort!.on('message', (message: WriterMessage) => {
  if (message !== 'close') return parentPort!.postMessage(commit(message));
  connection?.close();
  parentPort!.close();
});
