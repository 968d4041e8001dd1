import { hash, randomBytes } from 'node:crypto';

import { isSpent } from './rate_limit.ts';
import type { BucketStore, Policy, Take, Taken } from './rate_limit.ts';
import { createTableMemory, SharedTable } from './shared_table.ts';
import type { Tag } from './shared_table.ts';

/** Memory for the buckets of at most `maxKeys` clients, for every thread's `SharedStore`. */
export const createSharedBuckets = (maxKeys: number): SharedArrayBuffer => createTableMemory(maxKeys, randomBytes(32));

/** Tags that a thread remembers for each policy. */
const MAX_TAGS = 10_000;

/**
 * Buckets of all threads of the process, be it one or many. `now` gives monotonic nanoseconds from the same origin in
 * each of them.
 *
 * A bucket is the moment at which it is full, and a take one compare-and-swap: never are there more takes than tokens.
 * It takes from several buckets one after another and gives back when one turns out to be empty, so another thread may
 * see one token less for a moment, never one more. Keys are known by a hash under a secret of this start: nobody can
 * aim at another's bucket. Whoever is over the limit is not forgotten before somebody who is not.
 */
export class SharedStore implements BucketStore {
  readonly #table: SharedTable;
  readonly #now: () => number;
  readonly #secret: string;
  /** By policy and key. */
  readonly #tags = new Map<string, Map<string, Tag>>();

  constructor({ memory, now }: { memory: SharedArrayBuffer; now: () => number }) {
    this.#table = new SharedTable(memory);
    this.#now = now;
    this.#secret = Buffer.from(this.#table.secret).toString('hex');
  }

  take(takes: readonly Take[]): Taken {
    const now = this.#now();
    // Of several none is touched when one is seen to be empty; a single one needs no look beforehand.
    const seen = takes.length > 1 ? this.#look(takes, now) : undefined;
    if (seen !== undefined && seen.refused >= 0) return seen;
    const untilFull: number[] = [];
    for (let i = 0; i < takes.length; i++) {
      const until = this.#takeOne(takes[i]!, now);
      if (until === undefined) {
        // Should another thread have taken the last token since: as if nothing had been taken.
        for (let j = 0; j < i; j++) this.giveBack(takes[j]!);
        return { ...this.#look(takes, now), refused: i };
      }
      untilFull.push(until);
    }
    return { refused: -1, untilFull };
  }

  giveBack(take: Take): void {
    const { policy } = take;
    this.#table.setEarlier(this.#tag(take), (fullAt) => {
      const now = this.#now(); // Read after `fullAt`: from before takes that came between, it would undo their wait.
      return now + Math.max(0, left(fullAt, policy, now) - policy.cost);
    });
  }

  async close(): Promise<void> {}

  /** What there is, without taking: `refused` is the first that holds too little. */
  #look(takes: readonly Take[], now: number): Taken {
    const untilFull = takes.map((take) => this.#untilFull(take, now));
    return { refused: takes.findIndex(({ policy }, i) => isSpent(policy, untilFull[i]!)), untilFull };
  }

  #untilFull(take: Take, now: number): number {
    const tag = this.#tag(take);
    const entry = this.#table.find(tag);
    const fullAt = entry < 0 ? undefined : this.#table.read(entry, tag);
    return fullAt === undefined ? 0 : left(fullAt, take.policy, now);
  }

  /** Takes a token: nanoseconds until the bucket is full then, or undefined when it holds less than one. */
  #takeOne(take: Take, now: number): number | undefined {
    const { policy } = take;
    const tag = this.#tag(take);
    for (;;) {
      const entry = this.#table.find(tag);
      const fullAt = entry < 0 ? undefined : this.#table.read(entry, tag);
      if (fullAt === undefined) {
        const bucket = { fullAt: now + policy.cost, slack: policy.span - policy.cost, now };
        if (this.#table.add(tag, bucket)) return policy.cost;
        continue;
      }
      const until = left(fullAt, policy, now);
      if (isSpent(policy, until)) return undefined;
      if (this.#table.swap(entry, fullAt, now + until + policy.cost)) return until + policy.cost;
    }
  }

  #tag({ policy, key }: Take): Tag {
    let tags = this.#tags.get(policy.name);
    if (tags === undefined) this.#tags.set(policy.name, (tags = new Map()));
    let tag = tags.get(key);
    if (tag === undefined) {
      // No HMAC, at ten times the cost: what it adds protects a hash that is shown, and this one never is.
      const digest = hash('sha256', `${this.#secret} ${policy.name} ${key}`, 'hex');
      tag = { low: parseInt(digest.slice(0, 8), 16) | 0, high: parseInt(digest.slice(8, 16), 16) | 0 };
      if (tags.size >= MAX_TAGS) tags.clear();
      tags.set(key, tag);
    }
    return tag;
  }
}

/** Nanoseconds until a bucket is full, when the clock may have stepped back. */
const left = (fullAt: number, policy: Policy, now: number): number =>
  Math.max(0, Math.min(policy.span, fullAt - now));
