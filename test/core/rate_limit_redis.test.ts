import assert from 'node:assert/strict';
import test from 'node:test';
import type { TestContext } from 'node:test';
import { policy } from '../../src/core/rate_limit.ts';
import type { Policy } from '../../src/core/rate_limit.ts';
import { RedisStore } from '../../src/core/rate_limit_redis.ts';
import { openRedis } from '../../src/wire/redis.ts';
import type { Redis } from '../../src/wire/redis.ts';
import { answer, client, needs, now, patient, rawServer, redisServer, until } from '../helpers/redis.ts';

const url = process.env['TEST_REDIS_URL'];
const shared = url === undefined ? { skip: 'TEST_REDIS_URL is not set' } : {};
const own = needs('redis-server');

/** A store on the Redis of the tests, a client to look behind it, and keys that nobody else uses, gone afterwards. */
async function open(t: TestContext): Promise<{ store: RedisStore; redis: Redis; key: string }> {
  const redis = await openRedis({ url: url!, now, random: () => 0, deadlineMs: 20_000, connectMs: 20_000 });
  const key = `test-${crypto.randomUUID()}`;
  t.after(async () => {
    const names = (await redis.call(['KEYS', `rl:*${key}*`])) as string[];
    if (names.length > 0) await redis.call(['DEL', ...names]);
    await redis.close();
  });
  return { store: new RedisStore(redis), redis, key };
}

const nameOf = ({ name, limit, windowMs }: Policy, key: string): string => `rl:${name}:${limit}/${windowMs}:${key}`;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Redis' clock in nanoseconds. */
async function time(redis: Redis): Promise<bigint> {
  const [seconds, micros] = (await redis.call(['TIME'])) as [string, string];
  return BigInt(seconds) * 1_000_000_000n + BigInt(micros) * 1000n;
}

/** The oracle: what a bucket holds after the takes that it has seen, in tokens, and since when. */
interface Bucket {
  tokens: number;
  last: bigint;
}

/** Tokens start at limit; refill limit/window a second, up to limit. */
function refilled({ limit, windowMs }: Policy, bucket: Bucket | undefined, now: bigint): Bucket {
  if (bucket === undefined) return { tokens: limit, last: now };
  const seconds = Number(now - bucket.last) / 1e9;
  return { tokens: Math.min(limit, bucket.tokens + (limit / (windowMs / 1000)) * seconds), last: now };
}

test('Thousands of takes from random buckets end as the definition of a bucket says', shared, async (t) => {
  const { store, redis, key } = await open(t);
  const policies = [
    policy('a', { limit: 1, windowMs: 40 }), policy('b', { limit: 2, windowMs: 10 }),
    policy('c', { limit: 5, windowMs: 50 }), policy('d', { limit: 20, windowMs: 40 }),
    policy('e', { limit: 100, windowMs: 60_000 }), policy('f', { limit: 1000, windowMs: 1000 }),
  ];
  let buckets = new Map<string, Bucket>();
  let [taken, refused, generation] = [0, 0, 0];
  while (taken + refused < 3000) {
    const chosen = policies.toSorted(() => Math.random() - 0.5).slice(0, 1 + Math.floor(Math.random() * 3));
    const takes = chosen.map((policy) => ({ policy, key: `${key}-${generation}-${Math.floor(Math.random() * 3)}` }));
    const names = takes.map(({ policy, key }) => nameOf(policy, key));
    if (Math.random() < 0.05) await sleep(Math.random() * 8);
    const [before, outcome, stored, after] = await Promise.all([
      time(redis), store.take(takes), redis.call(['MGET', ...names]) as Promise<(string | undefined)[]>, time(redis),
    ]);
    // A bucket that is stored and not full tells the moment of the take exactly.
    const moments = stored.flatMap((at, i) => {
      const untilFull = outcome.untilFull[i]!;
      return at === undefined || untilFull === 0 ? [] : [BigInt(at) - BigInt(untilFull)];
    });
    const now = moments[0];
    assert.ok(moments.every((moment) => moment === now && before <= moment && moment <= after), `${moments}`);
    if (now === undefined) {
      buckets = new Map();
      generation++;
      continue;
    }
    const expected = takes.map(({ policy }, i) => refilled(policy, buckets.get(names[i]!), now));
    const first = expected.findIndex(({ tokens }) => tokens < 1);
    // Doubles do not decide what is a millionth of a token short.
    const decided = expected.every(({ tokens }) => Math.abs(tokens - 1) > 1e-6);
    if (decided) assert.equal(outcome.refused, first);
    for (const [i, bucket] of expected.entries()) {
      if (outcome.refused < 0) bucket.tokens -= 1;
      const { cost, span } = takes[i]!.policy;
      const tokens = (span - outcome.untilFull[i]!) / cost;
      assert.ok(Math.abs(tokens - bucket.tokens) < 1e-6, `${tokens} tokens, not ${bucket.tokens}`);
      buckets.set(names[i]!, bucket);
    }
    if (outcome.refused < 0) taken++;
    else refused++;
  }
  assert.ok(taken > 300 && refused > 300 && generation < 100, `${taken} ${refused} ${generation}`);
});

test('Takes from two instances at once get exactly as many tokens as there are', shared, async (t) => {
  const { store, key } = await open(t);
  const { store: other } = await open(t);
  const takes = [{ policy: policy('p', { limit: 50, windowMs: 3_600_000 }), key }];
  const outcomes = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? store : other).take(takes)));
  assert.equal(outcomes.filter(({ refused }) => refused < 0).length, 50);
});

test('A request that one bucket refuses costs the others nothing', shared, async (t) => {
  const { store, redis, key } = await open(t);
  const [wide, narrow] = [1000, 1].map((limit) => policy('p', { limit, windowMs: 3_600_000 })) as [Policy, Policy];
  const both = [{ policy: wide, key }, { policy: narrow, key }];
  assert.deepEqual(await store.take(both), { refused: -1, untilFull: [wide.cost, narrow.cost] });
  const before = await redis.call(['MGET', nameOf(wide, key), nameOf(narrow, key)]);
  for (let i = 0; i < 10; i++) assert.equal((await store.take(both)).refused, 1);
  assert.equal((await store.take(both.toReversed())).refused, 0);
  assert.deepEqual(await redis.call(['MGET', nameOf(wide, key), nameOf(narrow, key)]), before);
});

test('A token that is given back can be taken again, and none is made that way', shared, async (t) => {
  const { store, redis, key } = await open(t);
  const take = { policy: policy('p', { limit: 2, windowMs: 3_600_000 }), key };
  await store.giveBack(take);
  assert.equal(await redis.call(['EXISTS', nameOf(take.policy, key)]), 0);
  const refused = async () => (await store.take([take])).refused;
  assert.deepEqual([await refused(), await refused(), await refused()], [-1, -1, 0]);
  await store.giveBack(take);
  assert.deepEqual([await refused(), await refused()], [-1, 0]);
  for (let i = 0; i < 5; i++) await store.giveBack(take);
  assert.equal(await redis.call(['EXISTS', nameOf(take.policy, key)]), 0);
  assert.deepEqual([await refused(), await refused(), await refused()], [-1, -1, 0]);
});

test('A key is gone when its bucket is full, and not before', shared, async (t) => {
  const { store, redis, key } = await open(t);
  const slow = policy('p', { limit: 4, windowMs: 3_600_000 });
  const [before, { untilFull }, ttl, after] = await Promise.all([
    time(redis), store.take([{ policy: slow, key }]),
    redis.call(['PTTL', nameOf(slow, key)]) as Promise<number>, time(redis),
  ]);
  const [left, passed] = [untilFull[0]! / 1e6, Number(after - before) / 1e6];
  assert.ok(ttl <= left && ttl >= left - passed - 2, `${ttl} of ${left} after ${passed}`);
  const quick = policy('p', { limit: 4, windowMs: 40 });
  for (let i = 0; i < 3; i++) await store.take([{ policy: quick, key }]);
  await until(async () => (await redis.call(['EXISTS', nameOf(quick, key)])) === 0);
});

test('Limits from a billion a minute to one a year are kept to the nanosecond', shared, async (t) => {
  const { store, key } = await open(t);
  const rows: [limit: number, windowMs: number, cost: number][] = [
    [1_000_000_000, 60_000, 60],
    [1, 1, 1_000_000],
    [3, 1000, 333_333_333],
    [2_000_000_000, 1000, 1],
    [1, 30 * 86_400_000, 30 * 86_400_000_000_000],
    [1, 366 * 86_400_000, 366 * 86_400_000_000_000],
  ];
  for (const [limit, windowMs, cost] of rows) {
    const { untilFull } = await store.take([{ policy: policy('p', { limit, windowMs }), key }]);
    assert.deepEqual(untilFull, [cost]);
  }
  const billion = policy('many', { limit: 1_000_000_000, windowMs: 60_000 });
  const takes = Array.from({ length: 1000 }, () => ({ policy: billion, key }));
  const outcomes = await Promise.all(takes.map((take) => store.take([take])));
  assert.ok(outcomes.every(({ refused, untilFull }) => refused < 0 && untilFull[0]! >= 60 && untilFull[0]! <= 60_000));
});

test('A policy with other numbers starts with full buckets', shared, async (t) => {
  const { store, key } = await open(t);
  for (const limit of [1, 2, 3]) {
    const changed = policy('p', { limit, windowMs: 3_600_000 });
    assert.deepEqual((await store.take([{ policy: changed, key }])).untilFull, [changed.cost]);
  }
});

test('When the clock of Redis was set back, a bucket is empty at most', shared, async (t) => {
  const { store, redis, key } = await open(t);
  const take = { policy: policy('p', { limit: 5, windowMs: 60_000 }), key };
  const inTenYears = String((await time(redis)) + 10n * 365n * 86_400_000_000_000n);
  await redis.call(['SET', nameOf(take.policy, key), inTenYears, 'PX', '60000']);
  assert.deepEqual(await store.take([take]), { refused: 0, untilFull: [take.policy.span] });
  await store.giveBack(take);
  assert.equal((await store.take([take])).refused, -1);
});

test('A Redis that has forgotten the scripts is told them again', own, async (t) => {
  const server = await redisServer(t);
  const redis = await patient(t, server.url);
  const store = new RedisStore(redis);
  const take = { policy: policy('p', { limit: 2, windowMs: 3_600_000 }), key: 'k' };
  const refused = async () => (await store.take([take])).refused;
  assert.equal(await refused(), -1);
  await redis.call(['SCRIPT', 'FLUSH']);
  assert.deepEqual([await refused(), await refused()], [-1, 0]);
  await redis.call(['SCRIPT', 'FLUSH']);
  await store.giveBack(take);
  assert.deepEqual([await refused(), await refused()], [-1, 0]);
  await server.kill();
  await server.start();
  await until(() => redis.up);
  assert.deepEqual([await refused(), await refused(), await refused()], [-1, -1, 0]);
  assert.match(String(await redis.call(['INFO', 'commandstats'])), /cmdstat_eval:calls=1,/);
});

test('What the script cannot have answered is an error, not a number', async (t) => {
  for (const reply of [':5\r\n', '*0\r\n', '*1\r\n:-1\r\n', '*2\r\n:-1\r\n$1\r\nx\r\n', '$-1\r\n', '+OK\r\n']) {
    const server = await rawServer(t, (socket) => answer(socket, reply));
    const store = new RedisStore(await client(t, server.url, { deadlineMs: 20_000 }));
    const take = { policy: policy('p', { limit: 2, windowMs: 1000 }), key: 'k' };
    await assert.rejects(async () => store.take([take]), /cannot give/, reply);
    await store.close();
  }
});
