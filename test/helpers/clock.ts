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
