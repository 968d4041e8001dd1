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
  /** Its item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): quota and window in seconds. */
  readonly item: string;
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
  const item = `"${name}";q=${limit};w=${Math.ceil(windowMs / 1000)}`;
  return { name, limit, windowMs, cost, span: limit * cost, item };
}

/** For people: `5 logins in 60 s`. */
export const toWords = ({ limit, windowMs }: Pick<Policy, 'limit' | 'windowMs'>, what: string): string =>
  `${limit} ${what}${limit === 1 ? '' : 's'} in ${windowMs / 1000} s`;

/** A take as the client is told of it. */
export interface Charge {
  take: Take;
  /** Nanoseconds until the bucket is full again. */
  untilFull: number;
  refused: boolean;
}

/** The item of `RateLimit` for a charge: tokens left, and seconds until full or, when refused, until the next one. */
export function chargeItem({ take: { policy }, untilFull, refused }: Charge): string {
  if (refused) return `"${policy.name}";r=0;t=${retryAfter(policy, untilFull)}`;
  return `"${policy.name}";r=${remaining(policy, untilFull)};t=${Math.ceil(untilFull / 1e9)}`;
}

/** Whole tokens left in a bucket that is full in `untilFull` nanoseconds. */
export const remaining = (policy: Policy, untilFull: number): number =>
  Math.max(0, Math.floor((policy.span - untilFull) / policy.cost));

/** Whole seconds, rounded up, until a refused take would find its token; at least 1. */
export const retryAfter = (policy: Policy, untilFull: number): number =>
  Math.max(1, Math.ceil((untilFull + policy.cost - policy.span) / 1e9));

/** Whether a bucket that is full in `untilFull` nanoseconds holds less than one token. */
export const isSpent = (policy: Policy, untilFull: number): boolean => untilFull + policy.cost > policy.span;
