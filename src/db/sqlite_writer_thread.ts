import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';

import { threadData } from '../core/threads.ts';
import { connect, toFault } from './sqlite_connection.ts';
import type { SqliteConnection, WriteResult } from './sqlite_connection.ts';
import type { Statement } from './database.ts';

/** What a thread sends on its port: writes to commit together. It is answered with a result for each. */
export type Writes = readonly (readonly Statement[])[];

/** What the thread's owner tells it: somebody's port, or to end. */
export type WriterMessage = MessagePort | 'close';

export interface WriterData {
  file: string;
  lockTimeoutMs: number;
}

const { file, lockTimeoutMs } = threadData<WriterData>();
const ports = new Set<MessagePort>();
let connection: SqliteConnection | undefined;

function commit(writes: Writes): WriteResult[] {
  try {
    connection ??= connect(file, { lockTimeoutMs });
    return connection.commit(writes);
  } catch (error) {
    return writes.map(() => ({ error: toFault(error) }));
  }
}

/** Commits what came from one port together with what waits at the others. */
function commitAll(port: MessagePort, writes: Writes): void {
  quiet.refresh();
  const batches = [{ port, writes }];
  for (const other of ports) {
    const waiting: { message: Writes } | undefined = other === port ? undefined : receiveMessageOnPort(other);
    if (waiting !== undefined) batches.push({ port: other, writes: waiting.message });
  }
  const results = commit(batches.flatMap((batch) => batch.writes));
  for (const batch of batches) batch.port.postMessage(results.splice(0, batch.writes.length));
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
  if (message === 'close') {
    clearTimeout(quiet);
    connection?.close();
    for (const port of ports) port.close();
    return parentPort!.close();
  }
  ports.add(message);
  message.on('message', (writes: Writes) => commitAll(message, writes));
  message.on('close', () => ports.delete(message));
});
