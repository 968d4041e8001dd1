import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chargeItem, InMemoryStore, policy, remaining, retryAfter } from '../../src/core/rate_limit.ts';
import type { Policy } from '../../src/core/rate_limit.ts';
import { bucketStoreSuite, createRandom } from './bucket_store_suite.ts';

function open(maxKeys = 100_000) {
  let now = 0;
  const store = new InMemoryStore({ maxKeys, now: () => now });
  return { store, advance: (ns: number) => void (now += ns) };
}

bucketStoreSuite('InMemoryStore', () => open());

test('a policy counts in whole nanoseconds and tells itself as the draft says', () => {
  const table: [limit: number, windowMs: number, cost: number, item: string][] = [
    [100, 60_000, 600_000_000, '"x";q=100;w=60'],
    [5, 60_000, 12_000_000_000, '"x";q=5;w=60'],
    [1, 1, 1_000_000, '"x";q=1;w=1'],
    [1, 1500, 1_500_000_000, '"x";q=1;w=2'],
    [3, 1000, 333_333_333, '"x";q=3;w=1'],
    [10_000_000_000, 1000, 1, '"x";q=10000000000;w=1'],
  ];
  for (const [limit, windowMs, cost, item] of table) {
    const made = policy('x', { limit, windowMs });
    assert.deepEqual([made.cost, made.span, made.item], [cost, limit * cost, item]);
  }
});

test('what a client is told of a bucket is never more than it holds, and its wait never too short', () => {
  const few = policy('few', { limit: 5, windowMs: 60_000 });
  const table: [untilFull: number, left: number, wait: number, taken: string][] = [
    [0, 5, 1, '"few";r=5;t=0'],
    [1, 4, 1, '"few";r=4;t=1'],
    [12e9, 4, 1, '"few";r=4;t=12'],
    [12e9 + 1, 3, 1, '"few";r=3;t=13'],
    [48e9, 1, 1, '"few";r=1;t=48'],
    [48e9 + 1, 0, 1, '"few";r=0;t=49'],
    [50e9, 0, 2, '"few";r=0;t=50'],
    [60e9, 0, 12, '"few";r=0;t=60'],
  ];
  for (const [untilFull, left, wait, taken] of table) {
    const take = { policy: few, key: 'a' };
    assert.equal(remaining(few, untilFull), left);
    assert.equal(retryAfter(few, untilFull), wait);
    assert.equal(chargeItem({ take, untilFull, refused: false }), taken);
    assert.equal(chargeItem({ take, untilFull, refused: true }), `"few";r=0;t=${wait}`);
  }
});

/** Takes until the bucket refuses. */
function exhaust(store: InMemoryStore, policy: Policy, key: string): void {
  while (store.take([{ policy, key }]).refused < 0);
}

const isOver = (store: InMemoryStore, policy: Policy, key: string): boolean => {
  const over = store.take([{ policy, key }]).refused >= 0;
  if (!over) store.giveBack({ policy, key });
  return over;
};

test('a full map forgets those with tokens left and keeps everyone who is over the limit', () => {
  const few = policy('few', { limit: 3, windowMs: 60_000 });
  const other = policy('other', { limit: 3, windowMs: 60_000 });
  const { store } = open(100);
  for (let i = 0; i < 40; i++) exhaust(store, few, `over ${i}`);
  for (let i = 0; i < 40; i++) exhaust(store, other, `over ${i}`);
  for (let i = 0; i < 10_000; i++) {
    store.take([{ policy: i % 2 === 0 ? few : other, key: `passing ${i}` }]);
    assert.ok(store.size <= 100);
  }
  for (let i = 0; i < 40; i++) {
    assert.ok(isOver(store, few, `over ${i}`), `few ${i}`);
    assert.ok(isOver(store, other, `over ${i}`), `other ${i}`);
  }
});

test('who was over the limit and has a token again is forgotten before one who is still over', () => {
  const few = policy('few', { limit: 3, windowMs: 3000 });
  const slow = policy('slow', { limit: 3, windowMs: 3_000_000 });
  const { store, advance } = open(100);
  for (let i = 0; i < 50; i++) {
    exhaust(store, slow, `still ${i}`);
    exhaust(store, few, `was ${i}`);
  }
  advance(1e9);
  for (let i = 0; i < 50; i++) exhaust(store, slow, `new ${i}`);
  assert.equal(store.size, 100);
  for (let i = 0; i < 50; i++) assert.ok(isOver(store, slow, `still ${i}`), `still ${i}`);
});

test('when everyone is over the limit, the map is still bounded and the newest is counted', () => {
  const once = policy('once', { limit: 1, windowMs: 60_000 });
  const { store } = open(10);
  for (let i = 0; i < 1000; i++) {
    exhaust(store, once, `${i}`);
    assert.ok(store.size <= 10);
    assert.ok(isOver(store, once, `${i}`));
  }
});

test('whatever happens, nobody over the limit is forgotten while somebody else could be, and the bound holds', () => {
  const policies = [
    policy('once', { limit: 1, windowMs: 1000 }),
    policy('few', { limit: 3, windowMs: 60_000 }),
    policy('slow', { limit: 2, windowMs: 3_600_000 }),
  ];
  const maxKeys = 30;
  for (const seed of [1, 2, 3, 4]) {
    const random = createRandom(seed);
    let now = 0;
    const store = new InMemoryStore({ maxKeys, now: () => now });
    /** When each bucket is full, had nothing ever been forgotten. */
    const fullAt = new Map<string, number>();
    const isSpent = ({ cost, span }: Policy, name: string): boolean => (fullAt.get(name) ?? 0) - now + cost > span;
    let checked = 0;
    for (let i = 0; i < 20_000; i++) {
      now += [0, 0, 1_000_000, 400_000_000, 3_000_000_000][random(5)]!;
      const policy = policies[random(policies.length)]!;
      const key = `${random(12) === 0 ? `rare ${random(1000)}` : random(12)}`;
      const name = `${policy.name} ${key}`;
      const spent = policies.flatMap((each) =>
        [...fullAt.keys()].filter((known) => known.startsWith(`${each.name} `) && isSpent(each, known)),
      );
      const { refused, untilFull } = store.take([{ policy, key }]);
      assert.ok(store.size <= maxKeys);
      if (spent.length < maxKeys && spent.includes(name)) {
        assert.equal(refused, 0, `${name} was over its limit, and forgotten`);
        checked++;
      }
      if (refused < 0) fullAt.set(name, now + untilFull[0]!);
      for (const [each, at] of fullAt) if (at <= now) fullAt.delete(each);
      // Once there was no room left but among those, anything may have been forgotten.
      if (spent.length >= maxKeys) fullAt.clear();
    }
    assert.ok(checked > 1000, `only ${checked} takes told anything`);
  }
});

test('buckets that are full are forgotten as others come', () => {
  const few = policy('few', { limit: 3, windowMs: 3000 });
  const { store, advance } = open(100_000);
  for (let i = 0; i < 1000; i++) store.take([{ policy: few, key: `early ${i}` }]);
  advance(3e9);
  for (let i = 0; i < 1000; i++) store.take([{ policy: few, key: `late ${i}` }]);
  assert.ok(store.size <= 1001, `${store.size} buckets`);
});
