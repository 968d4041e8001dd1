import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Resolves after so many milliseconds in which the machine kept up: what a turn of this process comes late on a busy
 * one, and others with it, does not count.
 */
export async function passed(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) await sleep(50, undefined, { ref: false });
}

/** Time that stands still until it is turned by hand: wall time in ms, monotonic time in ns. */
export interface Clock {
  now(): number;
  monotonic(): number;
  advance(ms: number): void;
}

export function createClock(start = Date.parse('2026-01-31T12:00:00.250Z')): Clock {
  let passed = 0;
  return {
    now: () => start + passed,
    monotonic: () => passed * 1e6,
    advance: (ms) => void (passed += ms),
  };
}
