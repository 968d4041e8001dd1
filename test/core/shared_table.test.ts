import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { createTableMemory, SharedTable } from '../../src/core/shared_table.ts';
import { startThread } from '../../src/core/threads.ts';

test('a bucket with tokens is forgotten before all others, even while another thread takes from it', async (t) => {
  const keys = 1000;
  const [now, soon, late] = [1, 2, 1000];
  const memory = createTableMemory(keys, new Uint8Array(32));
  const table = new SharedTable(memory);
  let added = 0;
  const addOver = () => table.add({ low: ++added, high: 0 }, { fullAt: late, slack: 0, now });
  for (let i = 0; i < keys; i++) addOver();

  const tag = { low: 0, high: 1 };
  const thread = startThread(new URL('./shared_table_thread.ts', import.meta.url), 'taker', { memory, tag, now });
  t.after(() => thread.terminate());
  await once(thread, 'message');
  const until = performance.now() + 500;
  for (let round = 1; performance.now() < until; round++) {
    table.add(tag, { fullAt: soon, slack: 1, now });
    for (let i = 0; i < round % 300; i++) table.find(tag);
    addOver();
    assert.equal(table.find(tag), -1, `in round ${round}, one over the limit was forgotten instead`);
  }
});
