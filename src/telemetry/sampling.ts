/** Lets one of many equal events through, so that a flood of refusals is not a flood of log lines. */
export interface Sampler {
  /** How many were left out since the last one of this key that was let through; undefined: leave this one out too. */
  take(key: string): number | undefined;
}

const MAX_KEYS = 1_000;

/** Lets one event of a key through every `everyMs`. `now` is monotonic, in milliseconds. */
export function createSampler(everyMs: number, now: () => number): Sampler {
  const keys = new Map<string, { nextAt: number; leftOut: number }>();
  return {
    take(key) {
      const at = now();
      const entry = keys.get(key);
      if (entry !== undefined && at < entry.nextAt) {
        entry.leftOut++;
        return undefined;
      }
      // Whoever has been let through most lately stands last, so the first is the one to forget.
      keys.delete(key);
      if (keys.size >= MAX_KEYS) keys.delete(keys.keys().next().value as string);
      keys.set(key, { nextAt: at + everyMs, leftOut: 0 });
      return entry?.leftOut ?? 0;
    },
  };
}
