import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chargeItem, policy, remaining, retryAfter } from '../../src/core/rate_limit.ts';

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
