import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { policy } from '../../src/core/rate_limit.ts';
import type { BucketStore, Policy, Take, Taken } from '../../src/core/rate_limit.ts';

/** A store with nothing in it, and its clock. */
export interface OpenStore {
  store: BucketStore;
  /** The store's clock, in nanoseconds, turned by hand; negative: it steps back. */
  advance(ns: number): void;
}

/** Costs that divide evenly, so that the oracle's fractions and the store's integers are the same numbers. */
const policies = [
  policy('once', { limit: 1, windowMs: 1000 }),
  policy('few', { limit: 5, windowMs: 60_000 }),
  policy('many', { limit: 100, windowMs: 60_000 }),
  policy('fast', { limit: 1000, windowMs: 1 }),
];

/**
 * The oracle: tokens start at limit; they refill at limit/window up to limit; a request takes one token and is
 * refused when less than one is left; a refused one costs nothing.
 */
function createOracle() {
  const buckets = new Map<string, { tokens: bigint; at: bigint }>();
  /** Tokens times the window in nanoseconds: no fraction anywhere. */
  const units = ({ windowMs }: Policy): bigint => BigInt(windowMs) * 1_000_000n;

  function refilled({ policy, key }: Take, now: bigint): { tokens: bigint; at: bigint } {
    const full = BigInt(policy.limit) * units(policy);
    const name = `${policy.name} ${key}`;
    const bucket = buckets.get(name) ?? { tokens: full, at: now };
    buckets.set(name, bucket);
    bucket.tokens += (now - bucket.at) * BigInt(policy.limit);
    if (bucket.tokens > full) bucket.tokens = full;
    bucket.at = now;
    return bucket;
  }

  return {
    take(takes: readonly Take[], now: bigint): Taken {
      const found = takes.map((take) => refilled(take, now));
      const refused = found.findIndex(({ tokens }, i) => tokens < units(takes[i]!.policy));
      if (refused < 0) found.forEach((bucket, i) => (bucket.tokens -= units(takes[i]!.policy)));
      const untilFull = found.map(({ tokens }, i) => {
        const { limit } = takes[i]!.policy;
        return Number((BigInt(limit) * units(takes[i]!.policy) - tokens) / BigInt(limit));
      });
      return { refused, untilFull };
    },

    giveBack(take: Take, now: bigint): void {
      const bucket = refilled(take, now);
      const full = BigInt(take.policy.limit) * units(take.policy);
      bucket.tokens = bucket.tokens + units(take.policy) > full ? full : bucket.tokens + units(take.policy);
    },
  };
}

/** Numbers that look random and are the same every time (Mulberry32). */
export function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** What every store of buckets does whose clock can be turned by hand. `open` gives a new one. */
export function bucketStoreSuite(name: string, open: () => OpenStore | Promise<OpenStore>): void {
  suite(name, () => {
    for (const seed of [1, 2, 3]) {
      test(`thousands of takes end as the definition of a bucket says (seed ${seed})`, async () => {
        const { store, advance } = await open();
        const oracle = createOracle();
        const random = createRandom(seed);
        const seen = { taken: 0, refused: 0, given: 0 };
        let now = 0n;
        for (let i = 0; i < 4000; i++) {
          const step = [0, 0, 1, 999, 1_000_000, 16_000_000, 600_000_000, 12_000_000_000][random(8)]!;
          advance(step);
          now += BigInt(step);
          const start = random(policies.length);
          const count = 1 + random(3);
          const takes = Array.from({ length: count }, (_, j) => ({
            policy: policies[(start + j) % policies.length]!,
            key: `k${random(4)}`,
          }));
          if (random(10) === 0) {
            await store.giveBack(takes[0]!);
            oracle.giveBack(takes[0]!, now);
            seen.given++;
            continue;
          }
          const taken = await store.take(takes);
          assert.deepEqual(taken, oracle.take(takes, now), `take ${i}`);
          if (taken.refused < 0) seen.taken++;
          else seen.refused++;
        }
        for (const [what, times] of Object.entries(seen)) assert.ok(times > 300, `${what} only ${times} times`);
        await store.close();
      });
    }

    test('limit takes at once pass, and the next at the very nanosecond at which a token is whole', async () => {
      for (const policy of policies) {
        const { store, advance } = await open();
        const take = [{ policy, key: 'a' }];
        for (let i = 0; i < policy.limit; i++) assert.equal((await store.take(take)).refused, -1, policy.name);
        for (let i = 0; i < 3; i++) assert.deepEqual(await store.take(take), { refused: 0, untilFull: [policy.span] });
        advance(policy.cost - 1);
        assert.equal((await store.take(take)).refused, 0, `${policy.name}: a nanosecond early`);
        advance(1);
        assert.equal((await store.take(take)).refused, -1, policy.name);
        assert.equal((await store.take(take)).refused, 0, policy.name);
        await store.close();
      }
    });

    test('several buckets give a token each, or none of them gives any', async () => {
      const { store } = await open();
      const [once, few] = [policies[0]!, policies[1]!];
      const both = [{ policy: few, key: 'a' }, { policy: once, key: 'a' }];
      assert.equal((await store.take(both)).refused, -1);
      const second = { refused: 1, untilFull: [few.cost, once.span] };
      for (let i = 0; i < 10; i++) assert.deepEqual(await store.take(both), second);
      assert.deepEqual(await store.take([{ policy: few, key: 'a' }]), { refused: -1, untilFull: [2 * few.cost] });
      await store.close();
    });

    test('keys and policies do not share a bucket', async () => {
      const { store } = await open();
      const once = policies[0]!;
      const other = policy('other', { limit: 1, windowMs: 1000 });
      const addresses = ['192.0.2.1', '2001:db8:0:0::/64'];
      for (const key of ['a', 'A', 'a ', '', ...addresses, '__proto__', 'constructor', 'é', 'x'.repeat(300)]) {
        for (const each of [once, other]) {
          assert.equal((await store.take([{ policy: each, key }])).refused, -1, `${each.name} ${key}`);
          assert.equal((await store.take([{ policy: each, key }])).refused, 0, `${each.name} ${key}`);
        }
      }
      await store.close();
    });

    test('what is given back can be taken again, and a full bucket does not overflow', async () => {
      const { store } = await open();
      const policy = policies[1]!;
      const take = { policy, key: 'a' };
      await store.giveBack(take);
      for (let i = 0; i < policy.limit; i++) assert.equal((await store.take([take])).refused, -1);
      assert.equal((await store.take([take])).refused, 0);
      await store.giveBack(take);
      assert.equal((await store.take([take])).refused, -1);
      assert.equal((await store.take([take])).refused, 0);
      for (let i = 0; i < 10; i++) await store.giveBack(take);
      assert.deepEqual(await store.take([take]), { refused: -1, untilFull: [policy.cost] });
      await store.close();
    });

    test('when the clock steps back, a bucket is at most empty and fills in its window', async () => {
      const { store, advance } = await open();
      const policy = policies[1]!;
      const take = [{ policy, key: 'a' }];
      advance(1e15);
      await store.take(take);
      advance(-1e14);
      assert.deepEqual(await store.take(take), { refused: 0, untilFull: [policy.span] });
      advance(policy.span);
      for (let i = 1; i < policy.limit; i++) assert.ok((await store.take(take)).untilFull[0]! <= policy.span);
      await store.close();
    });
  });
}
