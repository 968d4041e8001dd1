import { threadId } from 'node:worker_threads';

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

/** Entries that share one summary: the least moments of them all. */
const BLOCK = 1024;
/** The moment of an entry that is changing hands. It counts as full: one that a dead thread left so is used again. */
const CLAIMED = -Infinity;
/** More steps than any chain has: a reader that others send from chain to chain gives up, and asks under the lock. */
const MAX_STEPS = 100;
/** Blocks that are searched for a full bucket once one is known that holds a token. */
const MAX_LOOKS = 32;
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
 *
 * To forget a bucket, an entry is searched from where the last one was found. Blocks of entries remember the least
 * moment at which one of them is worth looking at; moments only grow, but for what is given back, so it may be too
 * early and is never too late. So one who is still over the limit is forgotten only when all are.
 */
export class SharedTable {
  readonly secret: Uint8Array;
  readonly #size: ReturnType<typeof layout>;
  readonly #keys: number;
  readonly #header: Int32Array;
  /** One memory seen twice: numbers to read, and bits to compare and swap. */
  readonly #fullAt: Float64Array;
  readonly #fullAtBits: BigInt64Array;
  /** How long before it is full a bucket holds a token: span − cost of its policy. */
  readonly #slack: Float64Array;
  /** By block: no entry of it is full, or holds a token, before this moment. */
  readonly #leastFull: Float64Array;
  readonly #leastOpen: Float64Array;
  readonly #tags: Int32Array;
  /** Entries by number from 1; 0 ends a chain. */
  readonly #next: Int32Array;
  readonly #heads: Int32Array;
  readonly #number = new Float64Array(2);
  readonly #bits = new BigInt64Array(this.#number.buffer);

  constructor(memory: SharedArrayBuffer) {
    this.#header = new Int32Array(memory, 0, HEADER_BYTES / 4);
    const keys = (this.#keys = this.#header[KEYS]!);
    const size = (this.#size = layout(keys));
    this.secret = new Uint8Array(memory, SECRET_AT, SECRET_BYTES);
    this.#fullAt = new Float64Array(memory, HEADER_BYTES, keys);
    this.#fullAtBits = new BigInt64Array(memory, HEADER_BYTES, keys);
    this.#slack = new Float64Array(memory, size.slackAt, keys);
    this.#leastFull = new Float64Array(memory, size.leastAt, size.blocks);
    this.#leastOpen = new Float64Array(memory, size.leastAt + 8 * size.blocks, size.blocks);
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
      this.#lower(entry, fullAt);
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
        this.#lower(entry, to);
        if (this.swap(entry, from, to)) return;
      }
    });
  }

  #headOf(low: number): number {
    return low & (this.#size.heads - 1);
  }

  #has(entry: number, { low, high }: Tag): boolean {
    return Atomics.load(this.#tags, 2 * entry) === low && Atomics.load(this.#tags, 2 * entry + 1) === high;
  }

  #lower(entry: number, fullAt: number): void {
    const block = Math.floor(entry / BLOCK);
    this.#leastFull[block] = Math.min(this.#leastFull[block]!, fullAt);
    this.#leastOpen[block] = Math.min(this.#leastOpen[block]!, fullAt - this.#slack[entry]!);
  }

  /** Claims an entry: a full bucket's, else one's that holds a token, else any. */
  #forget(now: number): number {
    for (;;) {
      const worthy = this.#search(now);
      const entry = worthy >= 0 ? worthy : this.#header[HAND]! % this.#keys;
      const fullAt = this.#fullAt[entry]!;
      // A token may have been taken from it meanwhile.
      if (worthy >= 0 && fullAt - this.#slack[entry]! > now) continue;
      if (!this.swap(entry, fullAt, CLAIMED)) continue;
      this.#header[HAND] = entry + 1;
      return entry;
    }
  }

  /** From the hand on, the first entry whose bucket is full, else the first whose bucket holds a token, or -1. */
  #search(now: number): number {
    const { blocks } = this.#size;
    const hand = this.#header[HAND]! % this.#keys;
    const first = Math.floor(hand / BLOCK);
    if (hand % BLOCK !== 0 && this.#fullAt[hand]! <= now) return hand;
    // The block behind the hand is summed up while that costs little, not when the table is full and all are due.
    if (hand % BLOCK === 0) this.#best((first + blocks - 1) % blocks, 0, now);
    let open = -1;
    let looks = 0;
    // The first block once from the hand on, and once more at the end, whole.
    for (let i = 0; i <= blocks && (open < 0 || looks < MAX_LOOKS); i++) {
      const block = (first + i) % blocks;
      if (this.#leastFull[block]! > now && (open >= 0 || this.#leastOpen[block]! > now)) continue;
      looks++;
      const best = this.#best(block, i === 0 ? hand % BLOCK : 0, now);
      if (best >= 0 && this.#fullAt[best]! <= now) return best;
      if (open < 0) open = best;
    }
    return open;
  }

  /**
   * The same within a block, from its entry `from` on; from 0 on, the block's summary is renewed. Two loops, since the
   * first is most of the work and is fast as long as it only compares.
   */
  #best(block: number, from: number, now: number): number {
    const [fullAt, slack] = [this.#fullAt, this.#slack];
    const start = block * BLOCK + from;
    const end = Math.min(this.#keys, (block + 1) * BLOCK);
    let leastFull = Infinity;
    let leastOpen = Infinity;
    for (let entry = start; entry < end; entry++) {
      const full = fullAt[entry]!;
      const open = full - slack[entry]!;
      if (full < leastFull) leastFull = full;
      if (open < leastOpen) leastOpen = open;
    }
    if (from === 0) {
      this.#leastFull[block] = leastFull;
      this.#leastOpen[block] = leastOpen;
    }
    if (leastOpen > now) return -1;
    for (let entry = start; entry < end; entry++) {
      const moment = leastFull <= now ? this.#fullAt[entry]! : this.#fullAt[entry]! - this.#slack[entry]!;
      if (moment <= now) return entry;
    }
    return this.#best(block, from, now); // Another thread has just taken from it.
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
