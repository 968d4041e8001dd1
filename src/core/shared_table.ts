import { threadId } from 'node:worker_threads';

import { BLOCK, Forgettable } from './forgettable.ts';

/** The name of an entry: 64 bits that nobody outside can foresee. */
export interface Tag {
  readonly low: number;
  readonly high: number;
}

/**
 * The memory starts with the lock, the hand (the entry at which the search for one to forget goes on) and the number of
 * keys, 32 bits each, and a secret of 32 bytes.
 */
const LOCK = 0;
const HAND = 1;
const KEYS = 2;
const SECRET_AT = 32;
const SECRET_BYTES = 32;
const HEADER_BYTES = SECRET_AT + SECRET_BYTES;

/** The moment of an entry that is changing hands. It counts as full: one that a dead thread left so is used again. */
const CLAIMED = -Infinity;
/** More steps than any chain has: a reader that others send from chain to chain gives up, and asks under the lock. */
const MAX_STEPS = 100;
const SPINS = 1000;
const NAP_MS = 0.1;

function layout(keys: number) {
  const blocks = Math.ceil(keys / BLOCK);
  const heads = 2 ** Math.ceil(Math.log2(keys));
  const slackAt = HEADER_BYTES + 8 * keys;
  const leastAt = slackAt + 8 * keys;
  const tagsAt = leastAt + 16 * blocks;
  const nextAt = tagsAt + 8 * keys;
  const headsAt = nextAt + 4 * keys;
  return { blocks, heads, slackAt, leastAt, tagsAt, nextAt, headsAt, bytes: headsAt + 4 * heads };
}

/** Memory for a table of at most `keys` buckets: at most 36 bytes a key. */
export function createTableMemory(keys: number, secret: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(layout(keys).bytes);
  new Int32Array(memory)[KEYS] = keys;
  new Uint8Array(memory, SECRET_AT, SECRET_BYTES).set(secret);
  return memory;
}

/** Opens the lock if a thread died with it; what it was about to do is half done at worst, which the table allows. */
export function releaseTable(memory: SharedArrayBuffer, deadThreadId: number): void {
  Atomics.compareExchange(new Int32Array(memory), LOCK, deadThreadId + 1, 0);
}

/**
 * Buckets in memory that threads share: for each the moment at which it is full, found by its tag through chains.
 *
 * Moments are read and swapped without a lock. Only adding and forgetting takes the lock, which is held for a
 * microsecond. At each step of what is done under it the chains are whole, so that a thread may die there.
 */
export class SharedTable {
  readonly secret: Uint8Array;
  readonly #header: Int32Array;
  /** As in `Moments`; the first seen twice: numbers to read, and bits to compare and swap. */
  readonly #fullAt: Float64Array;
  readonly #fullAtBits: BigInt64Array;
  readonly #slack: Float64Array;
  readonly #forgettable: Forgettable;
  readonly #tags: Int32Array;
  /** Entries by number from 1; 0 ends a chain. */
  readonly #next: Int32Array;
  readonly #heads: Int32Array;
  readonly #number = new Float64Array(2);
  readonly #bits = new BigInt64Array(this.#number.buffer);

  constructor(memory: SharedArrayBuffer) {
    this.#header = new Int32Array(memory, 0, HEADER_BYTES / 4);
    const keys = this.#header[KEYS]!;
    const size = layout(keys);
    this.secret = new Uint8Array(memory, SECRET_AT, SECRET_BYTES);
    this.#fullAt = new Float64Array(memory, HEADER_BYTES, keys);
    this.#fullAtBits = new BigInt64Array(memory, HEADER_BYTES, keys);
    this.#slack = new Float64Array(memory, size.slackAt, keys);
    this.#forgettable = new Forgettable({
      fullAt: this.#fullAt,
      slack: this.#slack,
      leastFull: new Float64Array(memory, size.leastAt, size.blocks),
      leastOpen: new Float64Array(memory, size.leastAt + 8 * size.blocks, size.blocks),
    });
    this.#tags = new Int32Array(memory, size.tagsAt, 2 * keys);
    this.#next = new Int32Array(memory, size.nextAt, keys);
    this.#heads = new Int32Array(memory, size.headsAt, size.heads);
  }

  /** The entry of this tag, or -1: it may have been missed while others change the table. */
  find(tag: Tag): number {
    let entry = Atomics.load(this.#heads, this.#headOf(tag.low)) - 1;
    for (let steps = 0; entry >= 0 && steps < MAX_STEPS; steps++) {
      if (this.#has(entry, tag)) return entry;
      entry = Atomics.load(this.#next, entry) - 1;
    }
    return -1;
  }

  /** When the bucket is full; undefined when the entry is no longer (or not yet) that of this tag. */
  read(entry: number, tag: Tag): number | undefined {
    this.#bits[0] = Atomics.load(this.#fullAtBits, entry);
    const fullAt = this.#number[0]!;
    // In this order: if the entry changes hands from here on, the moment is another one and no swap succeeds.
    return fullAt !== CLAIMED && this.#has(entry, tag) ? fullAt : undefined;
  }

  /** Sets the moment unless it has changed since it was read. */
  swap(entry: number, from: number, to: number): boolean {
    this.#number[0] = from;
    this.#number[1] = to;
    const expected = this.#bits[0]!;
    return Atomics.compareExchange(this.#fullAtBits, entry, expected, this.#bits[1]!) === expected;
  }

  /** Adds a bucket, for which another one is forgotten; false when the tag has one already. */
  add(tag: Tag, { fullAt, slack, now }: { fullAt: number; slack: number; now: number }): boolean {
    return this.#locked(() => {
      const found = this.find(tag);
      if (found >= 0 && this.read(found, tag) !== undefined) return false;
      const entry = found >= 0 ? found : this.#forget(now);
      this.#unlink(entry);
      const head = this.#headOf(tag.low);
      Atomics.store(this.#tags, 2 * entry, tag.low);
      Atomics.store(this.#tags, 2 * entry + 1, tag.high);
      Atomics.store(this.#next, entry, this.#heads[head]!);
      this.#slack[entry] = slack;
      this.#forgettable.lower(entry, fullAt);
      this.swap(entry, CLAIMED, fullAt);
      Atomics.store(this.#heads, head, entry + 1);
      return true;
    });
  }

  /** Sets an earlier moment: `earlier` of the one there is. Does nothing when the tag has no entry. */
  setEarlier(tag: Tag, earlier: (fullAt: number) => number): void {
    this.#locked(() => {
      const entry = this.find(tag);
      if (entry < 0) return;
      for (;;) {
        const from = this.read(entry, tag);
        if (from === undefined) return;
        const to = earlier(from);
        this.#forgettable.lower(entry, to);
        if (this.swap(entry, from, to)) return;
      }
    });
  }

  #headOf(low: number): number {
    return low & (this.#heads.length - 1);
  }

  #has(entry: number, { low, high }: Tag): boolean {
    return Atomics.load(this.#tags, 2 * entry) === low && Atomics.load(this.#tags, 2 * entry + 1) === high;
  }

  /** Claims an entry: a full bucket's, else one's that holds a token, else any. */
  #forget(now: number): number {
    for (;;) {
      const hand = this.#header[HAND]! % this.#fullAt.length;
      const worthy = this.#forgettable.search(hand, now);
      const entry = worthy >= 0 ? worthy : hand;
      const fullAt = this.#fullAt[entry]!;
      // A token may have been taken from it meanwhile.
      if (worthy >= 0 && fullAt - this.#slack[entry]! > now) continue;
      if (!this.swap(entry, fullAt, CLAIMED)) continue;
      this.#header[HAND] = entry + 1;
      return entry;
    }
  }

  /** Takes an entry out of its chain, if it is in one. */
  #unlink(entry: number): void {
    const head = this.#headOf(this.#tags[2 * entry]!);
    const after = this.#next[entry]!;
    if (this.#heads[head] === entry + 1) return void Atomics.store(this.#heads, head, after);
    for (let at = this.#heads[head]! - 1; at >= 0; at = this.#next[at]! - 1) {
      if (this.#next[at] === entry + 1) return void Atomics.store(this.#next, at, after);
    }
  }

  #locked<T>(work: () => T): T {
    const owner = threadId + 1;
    for (let tries = 1; ; tries++) {
      const holder = Atomics.compareExchange(this.#header, LOCK, 0, owner);
      if (holder === 0) break;
      if (tries % SPINS === 0) Atomics.wait(this.#header, LOCK, holder, NAP_MS);
    }
    try {
      return work();
    } finally {
      Atomics.store(this.#header, LOCK, 0);
    }
  }
}
