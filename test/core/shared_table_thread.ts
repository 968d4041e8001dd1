import { parentPort } from 'node:worker_threads';

import { SharedTable } from '../../src/core/shared_table.ts';
import type { Tag } from '../../src/core/shared_table.ts';
import { threadData } from '../../src/core/threads.ts';

/** Takes from the bucket of `tag`, if there is one, again and again: at `now` it is full, or it holds a token. */
const { memory, tag, now } = threadData<{ memory: SharedArrayBuffer; tag: Tag; now: number }>();
const table = new SharedTable(memory);
parentPort!.postMessage('ready');
for (let fullAt = now; ; fullAt = fullAt === now ? now + 1 : now) {
  const entry = table.find(tag);
  const from = entry < 0 ? undefined : table.read(entry, tag);
  if (from !== undefined) table.swap(entry, from, fullAt);
}
