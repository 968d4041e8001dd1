/** Entries that share one summary: the least moments of them all. */
export const BLOCK = 1024;
/** Blocks that are searched for a full bucket once one is known that holds a token. */
const MAX_LOOKS = 32;

/** What threads share of a table's buckets. */
export interface Moments {
  /** By entry: when the bucket is full. */
  fullAt: Float64Array;
  /** By entry: how long before that it holds a token: span − cost of its policy. */
  slack: Float64Array;
  /** By block: no entry of it is full, or holds a token, before this moment. */
  leastFull: Float64Array;
  leastOpen: Float64Array;
}

/**
 * Which bucket of a table may be forgotten. An entry is searched from where the last one was found. Blocks of entries
 * remember the least moment at which one of them is worth looking at; moments only grow, but for what is given back, so
 * it may be too early and is never too late. So one who is still over the limit is forgotten only when all are.
 *
 * All of this is done under the table's lock; takes go on meanwhile.
 */
export class Forgettable {
  readonly #fullAt: Float64Array;
  readonly #slack: Float64Array;
  readonly #leastFull: Float64Array;
  readonly #leastOpen: Float64Array;

  constructor({ fullAt, slack, leastFull, leastOpen }: Moments) {
    this.#fullAt = fullAt;
    this.#slack = slack;
    this.#leastFull = leastFull;
    this.#leastOpen = leastOpen;
  }

  /** Tells the entry's block of a moment that may be earlier than all it knows. */
  lower(entry: number, fullAt: number): void {
    const block = Math.floor(entry / BLOCK);
    this.#leastFull[block] = Math.min(this.#leastFull[block]!, fullAt);
    this.#leastOpen[block] = Math.min(this.#leastOpen[block]!, fullAt - this.#slack[entry]!);
  }

  /** From the hand on, the first entry whose bucket is full, else the first whose bucket holds a token, or -1. */
  search(hand: number, now: number): number {
    const blocks = this.#leastFull.length;
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
    const end = Math.min(this.#fullAt.length, (block + 1) * BLOCK);
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
}
