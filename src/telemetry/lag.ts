/** How long the event loop keeps callers waiting. */
export interface Lag {
  /** Milliseconds by which the last turn of a timer was late, or by which the next one is already. */
  ms(): number;
  close(): void;
}

const EVERY_MS = 500;

/** `monotonic` gives nanoseconds. The timer does not keep the process alive. */
export function openLag(monotonic: () => number): Lag {
  let due = monotonic() + EVERY_MS * 1e6;
  let last = 0;
  const timer = setInterval(() => {
    const now = monotonic();
    last = Math.max(0, now - due);
    due = now + EVERY_MS * 1e6;
  }, EVERY_MS).unref();
  return {
    ms: () => Math.max(last, monotonic() - due) / 1e6,
    close: () => clearInterval(timer),
  };
}
