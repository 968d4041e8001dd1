import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createSharedBuckets } from '../../src/core/rate_limit_shared.ts';
import { startServing } from '../../src/threads/serving_thread.ts';
import type { Reason, ServingThread } from '../../src/threads/serving_thread.ts';
import type { ServingData } from '../../src/threads/verbs.ts';

/** A thread of which nothing is heard but what a test has it say, and what it dies of. */
function startSilent(): { thread: ServingThread; ended: Promise<Reason> } {
  const ended = Promise.withResolvers<Reason>();
  const thread = startServing({
    entry: new URL('./silent_thread.ts', import.meta.url),
    name: 'silent',
    data: { buckets: createSharedBuckets(1) } as ServingData,
    resourceLimits: {},
    verbs: {} as never,
    onEnd: ended.resolve,
  });
  return { thread, ended: ended.promise };
}

const look = (thread: ServingThread, times: number): void => {
  for (let i = 0; i < times; i++) thread.look();
};

test('a thread that takes long to start is waited for, and has ten looks from when it serves', async () => {
  const { thread, ended } = startSilent();
  look(thread, 59);
  thread.calls.tell('logLevel', 'info');
  assert.equal(await thread.listening, 1);
  look(thread, 9);
  assert.deepEqual(await thread.calls.ask('snapshot', undefined), [], 'it lives');
  look(thread, 1);
  assert.equal(await ended, 'stuck');
});

test('a thread that never serves is ended as stuck, and one that dies on its way is not called that', async () => {
  const stuck = startSilent();
  look(stuck.thread, 60);
  await assert.rejects(stuck.thread.listening, /ended before it served/);
  assert.equal(await stuck.ended, 'stuck');
  const other = startSilent();
  look(other.thread, 30);
  await other.thread.end();
  assert.equal(await other.ended, 'error');
});
