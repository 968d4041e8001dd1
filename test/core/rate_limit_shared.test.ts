import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { policy } from '../../src/core/rate_limit.ts';
import type { Policy } from '../../src/core/rate_limit.ts';
import { createSharedBuckets, SharedStore } from '../../src/core/rate_limit_shared.ts';
import { releaseTable } from '../../src/core/shared_table.ts';
import { startThread } from '../../src/core/threads.ts';
import { bucketStoreSuite, createRandom } from './bucket_store_suite.ts';
import type { Counts, Job } from './rate_limit_shared_thread.ts';

function open(maxKeys = 1000) {
  let now = 0;
  const store = new SharedStore({ memory: createSharedBuckets(maxKeys), now: () => now });
  return { store, advance: (ns: number) => void (now += ns) };
}

bucketStoreSuite('SharedStore', () => open());

/** Takes until the bucket refuses. */
function exhaust(store: SharedStore, policy: Policy, key: string): void {
  while (store.take([{ policy, key }]).refused < 0);
}

const isOver = (store: SharedStore, policy: Policy, key: string): boolean => {
  const over = store.take([{ policy, key }]).refused >= 0;
  if (!over) store.giveBack({ policy, key });
  return over;
};

const few = policy('few', { limit: 3, windowMs: 60_000 });

test('a key costs at most 64 bytes, however many there are', () => {
  for (const maxKeys of [1000, 65_536, 65_537, 100_000, 1_000_000, 2 ** 20 + 1]) {
    const { byteLength } = createSharedBuckets(maxKeys);
    assert.ok(byteLength <= 64 * maxKeys, `${maxKeys} keys: ${byteLength / maxKeys} bytes each`);
  }
  for (const maxKeys of [1, 2, 3]) assert.ok(createSharedBuckets(maxKeys).byteLength < 200);
});

test('as many keys as there is room for are all remembered', () => {
  for (const maxKeys of [1, 2, 3, 1000, 5000]) {
    const { store } = open(maxKeys);
    for (let i = 0; i < maxKeys; i++) store.take([{ policy: few, key: `${i}` }]);
    for (let i = 0; i < maxKeys; i++) {
      assert.deepEqual(store.take([{ policy: few, key: `${i}` }]).untilFull, [2 * few.cost], `${i} of ${maxKeys}`);
    }
  }
});

test('a bucket that is full again is forgotten before one that is not', () => {
  const quick = policy('quick', { limit: 3, windowMs: 3 });
  const { store, advance } = open(5000);
  for (let i = 0; i < 5000; i++) store.take([{ policy: i % 2 === 0 ? few : quick, key: `${i}` }]);
  advance(3e6);
  for (let i = 0; i < 2500; i++) store.take([{ policy: few, key: `new ${i}` }]);
  for (let i = 0; i < 5000; i += 2) assert.ok(store.take([{ policy: few, key: `${i}` }]).untilFull[0]! > few.cost, `${i}`);
});

test('a full table forgets those with tokens left and keeps everyone who is over the limit', () => {
  const other = policy('other', { limit: 3, windowMs: 60_000 });
  const { store } = open(3000);
  for (let i = 0; i < 1499; i++) {
    exhaust(store, few, `over ${i}`);
    exhaust(store, other, `over ${i}`);
  }
  for (let i = 0; i < 10_000; i++) store.take([{ policy: i % 2 === 0 ? few : other, key: `passing ${i}` }]);
  for (let i = 0; i < 1499; i++) {
    assert.ok(isOver(store, few, `over ${i}`), `few ${i}`);
    assert.ok(isOver(store, other, `over ${i}`), `other ${i}`);
  }
});

test('who got a token back is forgotten before one who is still over the limit', () => {
  const { store } = open(3000);
  for (let i = 0; i < 3000; i++) exhaust(store, few, `${i}`);
  exhaust(store, few, 'one more'); // Everybody has been looked at, and nobody is better forgotten than the first.
  const forgotten = [0];
  for (const back of [2000, 1500, 2500]) {
    store.giveBack({ policy: few, key: `${back}` });
    exhaust(store, few, `instead of ${back}`);
    for (let i = 0; i < 3000; i++) if (!forgotten.includes(i) && i !== back) assert.ok(isOver(store, few, `${i}`), `${i}`);
    forgotten.push(back);
  }
});

test('a thread that is held up while it gives a token back gives no more than that', () => {
  const memory = createSharedBuckets(10);
  let now = 0;
  let meanwhile = (): void => {};
  const store = new SharedStore({ memory, now: () => now });
  const heldUp = new SharedStore({
    memory,
    now() {
      const read = now;
      meanwhile();
      return read;
    },
  });
  const take = { policy: few, key: 'a' };
  exhaust(store, few, 'a');
  meanwhile = () => {
    meanwhile = () => {};
    now += few.span;
    exhaust(store, few, 'a');
  };
  heldUp.giveBack(take);
  assert.equal(store.take([take]).refused, -1);
  assert.equal(store.take([take]).refused, 0);
});

test('when everyone is over the limit, the newest is counted', () => {
  const once = policy('once', { limit: 1, windowMs: 60_000 });
  const { store } = open(2000);
  for (let i = 0; i < 10_000; i++) {
    exhaust(store, once, `${i}`);
    assert.ok(isOver(store, once, `${i}`), `${i}`);
  }
});

test('whatever happens, nobody over the limit is forgotten while somebody else could be', () => {
  const policies = [
    policy('once', { limit: 1, windowMs: 1000 }),
    few,
    policy('slow', { limit: 2, windowMs: 3_600_000 }),
  ];
  for (const [seed, maxKeys] of [[1, 30], [2, 33], [3, 36], [4, 1100]] as const) {
    const random = createRandom(seed);
    let { store, advance } = open(maxKeys);
    let now = 0;
    /** When each bucket is full, had nothing ever been forgotten; and its policy. */
    const buckets = new Map<string, { policy: Policy; fullAt: number }>();
    const isSpent = (name: string): boolean => {
      const { policy: { cost, span }, fullAt } = buckets.get(name) ?? { policy: few, fullAt: -Infinity };
      return fullAt - now + cost > span;
    };
    let checked = 0;
    for (let i = 0; i < 8000; i++) {
      const step = [0, 0, 1_000_000, 40_000_000, 300_000_000][random(5)]!;
      advance(step);
      now += step;
      const policy = policies[random(policies.length)]!;
      const key = `${random(12) === 0 ? `rare ${random(1000)}` : random(Math.floor(maxKeys / 3))}`;
      const name = `${policy.name} ${key}`;
      const isRoom = [...buckets.keys()].filter(isSpent).length < maxKeys;
      const spent = isSpent(name) && isRoom;
      const { refused, untilFull } = store.take([{ policy, key }]);
      if (spent) {
        assert.equal(refused, 0, `${name} was over its limit, and forgotten`);
        checked++;
      }
      if (refused < 0) buckets.set(name, { policy, fullAt: now + untilFull[0]! });
      if (refused < 0 && random(20) === 0) {
        store.giveBack({ policy, key });
        buckets.set(name, { policy, fullAt: now + untilFull[0]! - policy.cost });
      }
      if (isRoom) continue;
      // There was no room but among those: anything may have been forgotten.
      ({ store, advance } = open(maxKeys));
      buckets.clear();
      now = 0;
    }
    assert.ok(checked > 500, `seed ${seed}: ${checked} were checked`);
  }
});

/** Runs `takes` in each of `count` threads at once, which share one store; what they were answered. */
async function inThreads(count: number, memory: SharedArrayBuffer, job: Job): Promise<Counts> {
  const entry = new URL('./rate_limit_shared_thread.ts', import.meta.url);
  const gate = new SharedArrayBuffer(4);
  const threads = Array.from({ length: count }, (_, i) =>
    startThread(entry, 'taker', { memory, gate, count, job: { ...job, seed: i } }));
  const all = await Promise.all(threads.map(async (thread) => (await once(thread, 'message'))[0] as Counts));
  await Promise.all(threads.map((thread) => thread.terminate()));
  return all.reduce(([passed, refused], each) => [passed + each[0], refused + each[1]]);
}

test('eight threads at once get exactly the tokens that there are', async () => {
  const slow = policy('slow', { limit: 5000, windowMs: 1e10 });
  const memory = createSharedBuckets(100);
  assert.deepEqual(await inThreads(8, memory, { takes: 2000, keys: 1, policies: [slow] }), [5000, 11_000]);
});

test('threads that take from two buckets at once leave in each what they did not take', async () => {
  const [some, more] = [policy('some', { limit: 1000, windowMs: 1e10 }), policy('more', { limit: 3000, windowMs: 1e10 })];
  const memory = createSharedBuckets(100);
  const [passed, refused] = await inThreads(8, memory, { takes: 1000, keys: 1, policies: [more, some] });
  assert.equal(passed + refused, 8000);
  // A token that is about to be given back may be missed by another thread, never found twice.
  assert.ok(passed <= 1000, `${passed} passed`);
  const store = new SharedStore({ memory, now: () => 0 });
  let left = 0;
  while (store.take([{ policy: more, key: '0' }]).refused < 0) left++;
  assert.equal(left, 3000 - passed);
});

test('threads that crowd a small table with keys never get more than the tokens of those that it remembers', async () => {
  const once = policy('once', { limit: 1, windowMs: 1e10 });
  const memory = createSharedBuckets(500);
  const [passed, refused] = await inThreads(8, memory, { takes: 3000, keys: 500, policies: [once] });
  assert.deepEqual([passed, refused], [500, 23_500]);
  const [again] = await inThreads(8, createSharedBuckets(50), { takes: 3000, keys: 500, policies: [few] });
  assert.ok(again >= 1500, `${again} passed`);
});

test('what a thread that died in the middle held is free again', async () => {
  const memory = createSharedBuckets(10);
  const dead = 41;
  new Int32Array(memory)[0] = dead + 1;
  releaseTable(memory, dead - 1);
  assert.equal(new Int32Array(memory)[0], dead + 1, 'the lock of a living thread is let alone');
  releaseTable(memory, dead);
  const store = new SharedStore({ memory, now: () => 0 });
  assert.equal(store.take([{ policy: few, key: 'a' }]).refused, -1);
});
