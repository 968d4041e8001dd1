import { parentPort } from 'node:worker_threads';

import type { Policy } from '../../src/core/rate_limit.ts';
import { SharedStore } from '../../src/core/rate_limit_shared.ts';
import { threadData } from '../../src/core/threads.ts';

export interface Job {
  takes: number;
  /** How many keys it takes turns with. */
  keys: number;
  /** One token of each at once. */
  policies: Policy[];
}

/** How many takes passed, and how many were refused. */
export type Counts = [passed: number, refused: number];

interface Data {
  memory: SharedArrayBuffer;
  /** How many threads are ready. */
  gate: SharedArrayBuffer;
  count: number;
  job: Job & { seed: number };
}

const { memory, gate, count, job } = threadData<Data>();
const store = new SharedStore({ memory, now: () => 0 });
const ready = new Int32Array(gate);
if (Atomics.add(ready, 0, 1) + 1 === count) Atomics.notify(ready, 0);
for (let n = 0; (n = Atomics.load(ready, 0)) < count; ) Atomics.wait(ready, 0, n);

const counts: Counts = [0, 0];
for (let i = 0; i < job.takes; i++) {
  const key = String((i * 7 + job.seed * 61) % job.keys);
  const { refused } = store.take(job.policies.map((policy) => ({ policy, key })));
  counts[refused < 0 ? 0 : 1]++;
}
parentPort!.postMessage(counts);
