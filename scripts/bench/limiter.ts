import { policy } from '../../src/core/rate_limit.ts';
import type { Policy } from '../../src/core/rate_limit.ts';
import { createSharedBuckets, SharedStore } from '../../src/core/rate_limit_shared.ts';
import type { ClientBench } from './clients.ts';
import { figure, median, ratios } from './report.ts';

const million = 1_000_000;
const goals = {
  take: { goal: 0.5, aim: 0.5 },
  amongMillion: { goal: 1, aim: 1 },
  bytes: { goal: 64, aim: 64 },
  pauseMs: { goal: 5, aim: 5 },
};

const monotonic = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e9 + nanoseconds;
};

/** What the limiter costs in this process, with a few clients and with a million of them. */
export function measureLimiter({ rounds, report, say }: Pick<ClientBench, 'rounds' | 'report' | 'say'>): void {
  const add = (name: string, values: number[], unit: string, goal: { goal: number; aim: number }): void => {
    const server = `${figure(median(values))} ${unit}`;
    report.measures.push({ name, floor: '-', server, ...ratios(values, 'most', goal) });
    say(`${name}: ${server}`);
  };
  const unlimited = policy('default', { limit: 1_000_000_000, windowMs: 60_000 });
  const few = new SharedStore({ memory: createSharedBuckets(100_000), now: monotonic });
  const memory = createSharedBuckets(million);
  const many = new SharedStore({ memory, now: monotonic });
  for (let i = 0; i < million; i += 1) many.take([{ policy: unlimited, key: `client ${i}` }]);
  const micros = Array.from({ length: rounds + 1 }, () => ({
    few: microsPerTake(few, unlimited, 1000, 2 * million),
    many: microsPerTake(many, unlimited, 8000, 2 * million),
  })).slice(1); // The first round warms up.
  add('a take, 1,000 clients', micros.map((each) => each.few), 'µs', goals.take);
  add('a take, a million clients', micros.map((each) => each.many), 'µs', goals.amongMillion);
  add('memory of a client', [memory.byteLength / million], 'bytes', goals.bytes);
  add('longest pause at a million', [longestPause(Math.max(3, rounds))], 'ms', goals.pauseMs);
}

/** Of processor time: other programs do not lengthen it. */
function microsPerTake(store: SharedStore, of: Policy, clients: number, count: number): number {
  const takes = Array.from({ length: clients }, (_, i) => [{ policy: of, key: `client ${i}` }]);
  const before = process.cpuUsage();
  for (let i = 0; i < count; i += 1) store.take(takes[i % clients]!);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/**
 * The longest single take, in ms, while a full table of a million is in every state that makes it look for room:
 * clients come for the first time, nobody can be forgotten, half can, all had a token when they were last looked at.
 * Each run does the same, so what a take needs is the least of its runs: the rest is other programs and the collector.
 */
function longestPause(runs: number): number {
  const least: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    let now = 1;
    let takes = 0;
    const store = new SharedStore({ memory: createSharedBuckets(million), now: () => now });
    const arrive = (name: string, of: Policy, count: number): void => {
      for (let i = 0; i < count; i += 1) {
        now += 100;
        const began = performance.now();
        store.take([{ policy: of, key: `${name} ${i}` }]);
        least[takes] = Math.min(least[takes] ?? Infinity, performance.now() - began);
        takes += 1;
      }
    };
    const once = policy('once', { limit: 1, windowMs: 60_000 });
    const twice = policy('twice', { limit: 2, windowMs: 6_000_000 });
    arrive('first', once, million);
    arrive('beside the spent', once, 10_000);
    now += 60e9 - 50 * million;
    arrive('beside the half spent', once, 10_000);
    now += 60e9;
    arrive('with a token left', twice, million);
    arrive('with a token left', twice, million);
    arrive('beside the spent again', twice, 10_000);
  }
  return least.reduce((most, each) => Math.max(most, each), 0);
}
