import assert from 'node:assert/strict';
import test from 'node:test';
import type { TestContext } from 'node:test';
import { policy } from '../../src/core/rate_limit.ts';
import type { BucketStore } from '../../src/core/rate_limit.ts';
import { FallbackStore } from '../../src/core/rate_limit_fallback.ts';
import { RedisStore } from '../../src/core/rate_limit_redis.ts';
import { createSharedBuckets, SharedStore } from '../../src/core/rate_limit_shared.ts';
import type { Redis, RedisOptions } from '../../src/wire/redis.ts';
import { answer, client, needs, now, patient, rawServer, redisServer, until } from '../helpers/redis.ts';
import type { RedisServer } from '../helpers/redis.ts';

const own = needs('redis-server');
const two = policy('p', { limit: 2, windowMs: 3_600_000 });
const take = { policy: two, key: 'k' };
const other = { policy: policy('other', { limit: 1_000_000, windowMs: 3_600_000 }), key: 'k' };

interface Opened {
  store: FallbackStore;
  /** What was reported: up or down, and why. */
  /** What it found at first, and what changed after that. */
  faults: (string | undefined)[];
}

/** A Redis that is well answers within the deadline on a busy machine, too. */
const DEADLINE_MS = 3_000;

async function open(t: TestContext, url: string, options: Partial<RedisOptions> = {}): Promise<Opened> {
  const faults: Opened['faults'] = [];
  const store = new FallbackStore({
    shared: new RedisStore(await client(t, url, { deadlineMs: DEADLINE_MS, ...options })),
    local: new SharedStore({ memory: createSharedBuckets(100), now }),
    random: () => 0,
    onChange: (fault) => void faults.push(fault),
  });
  t.after(() => store.close());
  await store.look();
  faults.unshift(store.fault);
  return { store, faults };
}

interface Ailment {
  inflict(server: RedisServer, admin: Redis, second: Redis): unknown;
  heal(server: RedisServer, admin: Redis): unknown;
  reason: RegExp;
}

const ailments: Record<string, Ailment> = {
  'is killed': {
    inflict: (server) => server.kill(),
    heal: (server) => server.start(),
    reason: /not connected|closed the connection|ECONNRE/,
  },
  hangs: {
    inflict: (server) => server.signal('SIGSTOP'),
    heal: (server) => server.signal('SIGCONT'),
    reason: new RegExp(`did not answer within ${DEADLINE_MS} ms`),
  },
  'loads its data': {
    async inflict(_, admin, second) {
      await admin.call(['DEBUG', 'POPULATE', '20000']);
      await admin.call(['CONFIG', 'SET', 'key-load-delay', '200', 'loading-process-events-interval-bytes', '1024']);
      second.call(['DEBUG', 'RELOAD']).catch(() => {});
    },
    heal: (_, admin) => admin.call(['CONFIG', 'SET', 'key-load-delay', '0']),
    reason: /^LOADING/,
  },
  'can only be read': {
    inflict: (_, admin) => admin.call(['REPLICAOF', '127.0.0.1', '1']),
    heal: (_, admin) => admin.call(['REPLICAOF', 'NO', 'ONE']),
    reason: /^READONLY/,
  },
  'is out of memory': {
    inflict: (_, admin) => admin.call(['CONFIG', 'SET', 'maxmemory', '1']),
    heal: (_, admin) => admin.call(['CONFIG', 'SET', 'maxmemory', '0']),
    reason: /^OOM/,
  },
  'wants another password': {
    async inflict(_, admin) {
      await admin.call(['CONFIG', 'SET', 'requirepass', 'x']);
      await admin.call(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    },
    heal: (_, admin) => admin.call(['CONFIG', 'SET', 'requirepass', '']),
    reason: /not connected|closed the connection/,
  },
};

for (const [what, { inflict, heal, reason }] of Object.entries(ailments)) {
  test(`While a Redis ${what} the local store answers; when it is well it is used again`, own, async (t) => {
    const server = await redisServer(t);
    const [admin, second] = [await patient(t, server.url), await patient(t, server.url)];
    const { store, faults } = await open(t, server.url);
    assert.equal((await store.take([take])).refused, -1);
    await inflict(server, admin, second);
    await until(async () => (await store.take([other])).refused === -1 && store.fault !== undefined);
    const outcomes = [1, 2, 3, 4].map(() => store.take([take]));
    assert.deepEqual(outcomes.map((outcome) => 'refused' in outcome && outcome.refused), [-1, -1, 0, 0]);
    assert.equal(store.giveBack(take), undefined);
    assert.deepEqual((store.take([take]) as { refused: number }).refused, -1);
    await heal(server, admin);
    await until(() => store.fault === undefined);
    assert.deepEqual(faults.map((fault) => fault === undefined), [true, false, true]);
    assert.match(faults[1]!, reason);
    assert.equal((await store.take([take])).refused, -1);
    assert.equal(store.fault, undefined);
  });
}

test('Whoever waits when Redis falls silent is answered by the local store, within the limit', own, async (t) => {
  const server = await redisServer(t);
  const { store, faults } = await open(t, server.url);
  server.signal('SIGSTOP');
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => store.take([take])));
  assert.equal(outcomes.filter(({ refused }) => refused < 0).length, 2);
  assert.deepEqual(faults.map((fault) => fault === undefined), [true, false]);
  server.signal('SIGCONT');
});

const nonsense = {
  garbage: 'HTTP/1.1 400 Bad Request\r\n\r\n',
  'another type': '+OK\r\n',
  'a length of 2 GB': '*2147483648\r\n',
  MISCONF: '-MISCONF Redis is configured to save RDB snapshots\r\n',
  MOVED: '-MOVED 3999 127.0.0.1:6381\r\n',
  CROSSSLOT: "-CROSSSLOT Keys in request don't hash to the same slot\r\n",
};

for (const [what, bytes] of Object.entries(nonsense)) {
  test(`A Redis that answers ${what} is not used`, async (t) => {
    const server = await rawServer(t, (socket) => answer(socket, bytes));
    const { store, faults } = await open(t, server.url);
    const outcomes = [1, 2, 3].map(() => store.take([take]));
    assert.deepEqual(outcomes.map((outcome) => 'refused' in outcome && outcome.refused), [-1, -1, 0]);
    await store.look();
    assert.deepEqual([faults.length, faults[0] !== undefined], [1, true]);
  });
}

test('More takes than may wait for Redis are answered by the local store', own, async (t) => {
  const server = await redisServer(t);
  const { store } = await open(t, server.url, { maxCalls: 3 });
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => store.take([take])));
  assert.equal(outcomes.filter(({ refused }) => refused < 0).length, 4, 'two from each store');
});

test('A Redis that comes after the start is used, and one that dies while nobody asks is found out', own, async (t) => {
  const server = await redisServer(t);
  await server.kill();
  const { store, faults } = await open(t, server.url);
  assert.match(store.fault!, /ECONNREFUSED/);
  await server.start();
  await until(() => store.fault === undefined);
  await server.kill();
  await until(() => store.fault !== undefined);
  assert.deepEqual(faults.map((fault) => fault === undefined), [false, true, false]);
});

test('The shared store is looked at every 5 s when well, every 1 s when away, never once closed', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let [looks, well] = [0, true];
  const shared: BucketStore = {
    async take() {
      looks++;
      if (!well) throw new Error('away');
      return { refused: -1, untilFull: [0] };
    },
    giveBack() {},
    async close() {},
  };
  const local = new SharedStore({ memory: createSharedBuckets(100), now });
  const store = new FallbackStore({ shared, local, random: () => 0.999, onChange: () => {} });
  const after = async (ms: number): Promise<[looks: number, up: boolean]> => {
    looks = 0;
    t.mock.timers.tick(ms);
    await new Promise((resolve) => setImmediate(resolve));
    return [looks, store.fault === undefined];
  };
  await store.look();
  assert.deepEqual([await after(5000), await after(5000)], [[1, true], [1, true]]);
  well = false;
  await store.take([take]);
  assert.equal(store.fault, 'away');
  assert.deepEqual([await after(1000), await after(1000), await after(1000)], [[1, false], [1, false], [1, false]]);
  well = true;
  assert.deepEqual([await after(1000), await after(5000)], [[1, true], [1, true]]);
  const look = store.look();
  await store.close();
  await look;
  assert.deepEqual([await after(5000), await after(5000)], [[0, true], [0, true]]);
});
