import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSampler } from '../../src/telemetry/sampling.ts';

test('one event of a key is let through in a while, and says how many were not', () => {
  let now = 0;
  const sampler = createSampler(1_000, () => now);
  const story: [at: number, key: string, expected: number | undefined][] = [
    [0, 'login', 0], [0, 'login', undefined], [0, 'default', 0], [999, 'login', undefined], [1_000, 'login', 2],
    [1_000, 'default', 0], [1_001, 'login', undefined], [9_000, 'login', 1],
  ];
  for (const [at, key, expected] of story) {
    now = at;
    assert.equal(sampler.take(key), expected, `${key} at ${at}`);
  }
});

test('of too many keys the one let through longest ago is forgotten', () => {
  const sampler = createSampler(1_000, () => 0);
  for (let i = 0; i < 1_001; i++) assert.equal(sampler.take(`key ${i}`), 0);
  assert.equal(sampler.take('key 1'), undefined);
  assert.equal(sampler.take('key 0'), 0);
});
