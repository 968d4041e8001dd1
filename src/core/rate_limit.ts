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

interface Bucket {
  /** The moment (monotonic nanoseconds) at which it is full. */
  fullAt: number;
}

/** The buckets of one policy: those that hold a token, and those that hold none. Both in order of arrival. */
interface Shelf {
  policy: Policy;
  open: Map<string, Bucket>;
  spent: Map<string, Bucket>;
}

/**
 * Buckets in this process, at most `maxKeys` of them. `now` gives monotonic nanoseconds.
 *
 * An absent bucket is a full one, so forgetting a full bucket loses nothing. When there is no room, a client that is
 * still over its limit is never forgotten before one that is not: those without a token left stand on a shelf of
 * their own, which is touched only when nobody else is there.
 */
export class InMemoryStore implements BucketStore {
  readonly #shelves = new Map<string, Shelf>();
  readonly #maxKeys: number;
  readonly #now: () => number;
  #size = 0;
  /** No bucket among the spent ones holds a token before this moment. */
  #nextRecovery = Infinity;

  constructor({ maxKeys, now }: { maxKeys: number; now: () => number }) {
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  get size(): number {
    return this.#size;
  }

  take(takes: readonly Take[]): Taken {
    const now = this.#now();
    const untilFull: number[] = [];
    let refused = -1;
    for (let i = 0; i < takes.length; i++) {
      const { policy, key } = takes[i]!;
      const shelf = this.#shelf(policy);
      const until = untilFullOf(shelf.open.get(key) ?? shelf.spent.get(key), policy, now);
      if (refused < 0 && isSpent(policy, until)) refused = i;
      untilFull.push(until);
    }
    if (refused >= 0) return { refused, untilFull };
    for (let i = 0; i < takes.length; i++) {
      const { policy, key } = takes[i]!;
      untilFull[i]! += policy.cost;
      this.#keep(policy, key, now + untilFull[i]!, now);
    }
    return { refused, untilFull };
  }

  giveBack({ policy, key }: Take): void {
    const now = this.#now();
    const shelf = this.#shelf(policy);
    const until = untilFullOf(shelf.open.get(key) ?? shelf.spent.get(key), policy, now) - policy.cost;
    if (until > 0) return this.#keep(policy, key, now + until, now);
    if (shelf.open.delete(key) || shelf.spent.delete(key)) this.#size--;
  }

  async close(): Promise<void> {
    this.#shelves.clear();
    this.#size = 0;
  }

  #shelf(policy: Policy): Shelf {
    let shelf = this.#shelves.get(policy.name);
    if (shelf === undefined) this.#shelves.set(policy.name, (shelf = { policy, open: new Map(), spent: new Map() }));
    return shelf;
  }

  #keep(policy: Policy, key: string, fullAt: number, now: number): void {
    const shelf = this.#shelf(policy);
    const recovery = fullAt + policy.cost - policy.span;
    const isSpent = recovery > now;
    const here = isSpent ? shelf.spent : shelf.open;
    const there = isSpent ? shelf.open : shelf.spent;
    if (isSpent && recovery < this.#nextRecovery) this.#nextRecovery = recovery;
    const bucket = here.get(key);
    if (bucket !== undefined) {
      bucket.fullAt = fullAt;
      return;
    }
    if (!there.delete(key)) {
      this.#tidy(shelf, now);
      if (this.#size >= this.#maxKeys) this.#makeRoom(now);
      this.#size++;
    }
    here.set(key, { fullAt });
  }

  /** Looks at the two buckets that were not looked at for longest: forgets a full one, sends another to the end. */
  #tidy({ open }: Shelf, now: number): void {
    for (let i = 0; i < 2; i++) {
      const first = open.entries().next().value;
      if (first === undefined) return;
      const [key, bucket] = first;
      open.delete(key);
      if (bucket.fullAt <= now) this.#size--;
      else open.set(key, bucket);
    }
  }

  #makeRoom(now: number): void {
    if (![...this.#shelves.values()].some(({ open }) => open.size > 0) && this.#nextRecovery <= now) {
      this.#recover(now);
    }
    const shelves = [...this.#shelves.values()];
    const fullest = (side: 'open' | 'spent') =>
      shelves.map((shelf) => shelf[side]).reduce((most, map) => (map.size > most.size ? map : most));
    const from = fullest('open').size > 0 ? fullest('open') : fullest('spent');
    from.delete(from.keys().next().value!);
    this.#size--;
  }

  /** Moves the spent buckets in which a token has grown back to where they belong now. */
  #recover(now: number): void {
    this.#nextRecovery = Infinity;
    for (const { policy, open, spent } of this.#shelves.values()) {
      for (const [key, bucket] of spent) {
        const recovery = bucket.fullAt + policy.cost - policy.span;
        if (recovery > now) {
          this.#nextRecovery = Math.min(this.#nextRecovery, recovery);
          continue;
        }
        spent.delete(key);
        open.set(key, bucket);
      }
    }
  }
}

function untilFullOf(bucket: Bucket | undefined, policy: Policy, now: number): number {
  if (bucket === undefined || bucket.fullAt <= now) return 0;
  return Math.min(policy.span, bucket.fullAt - now);
}
