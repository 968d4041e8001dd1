import type { Maybe } from './maybe.ts';

/** `limit` requests at once, refilled evenly over `windowMs`: `limit/window` tokens a second. */
export interface Policy {
  readonly name: string;
  readonly limit: number;
  readonly windowMs: number;
  /** Nanoseconds until one token has grown back: an integer. */
  readonly cost: number;
  /** Nanoseconds until an empty bucket is full: `limit * cost`. */
  readonly span: number;
}

/** One token of the bucket that `policy` keeps for `key`. */
export interface Take {
  policy: Policy;
  key: string;
}

/** What became of the takes: `refused` is the index of the first that found too little, or -1. */
export interface Taken {
  refused: number;
  /** For each take, nanoseconds until its bucket is full again (0: it is full now). */
  untilFull: number[];
}

/**
 * Remembers buckets. `take` is atomic: it takes one token from every bucket, or, when one holds less than a token,
 * from none ("a refused request costs nothing").
 */
export interface BucketStore {
  take(takes: readonly Take[]): Maybe<Taken>;
  /** Puts one token back (never more than fit). */
  giveBack(take: Take): Maybe<void>;
  close(): Promise<void>;
}

export function policy(name: string, { limit, windowMs }: { limit: number; windowMs: number }): Policy {
  const cost = Math.max(1, Math.floor((windowMs * 1e6) / limit));
  return { name, limit, windowMs, cost, span: limit * cost };
}

/** Whole tokens left in a bucket that is full in `untilFull` nanoseconds. */
export const remaining = (policy: Policy, untilFull: number): number =>
  Math.max(0, Math.floor((policy.span - untilFull) / policy.cost));

/** Whole seconds, rounded up, until a refused take would find its token; at least 1. */
export const retryAfter = (policy: Policy, untilFull: number): number =>
  Math.max(1, Math.ceil((untilFull + policy.cost - policy.span) / 1e9));

interface Bucket {
  /** The moment (monotonic nanoseconds) at which it is full. */
  fullAt: number;
}

/**
 * Buckets in this process, at most `maxKeys` of them. The clock gives monotonic nanoseconds.
 *
 * An absent bucket is a full one, so forgetting a full bucket loses nothing. When there is no room, a client that is
 * still over its limit is never forgotten before one that is not: clients without a token left are kept apart
 * (`spent`) and are only touched when there is nobody else.
 */
export class InMemoryStore implements BucketStore {
  readonly #open = new Map<string, Map<string, Bucket>>();
  readonly #spent = new Map<string, Map<string, Bucket>>();
  readonly #maxKeys: number;
  readonly #now: () => number;
  #size = 0;

  constructor({ maxKeys, now }: { maxKeys: number; now: () => number }) {
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  take(takes: readonly Take[]): Taken {
    throw new Error('to be written');
  }

  giveBack(take: Take): void {}

  async close(): Promise<void> {}
}
