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
  readonly #moments: Moments;

  constructor(moments: Moments) {
    this.#moments = moments;
  }

  /** Tells the entry's block of a moment that may be earlier than all it knows. */
  lower(entry: number, fullAt: number): void {
    const { slack, leastFull, leastOpen } = this.#moments;
    const block = Math.floor(entry / BLOCK);
    leastFull[block] = Math.min(leastFull[block]!, fullAt);
    leastOpen[block] = Math.min(leastOpen[block]!, fullAt - slack[entry]!);
  }

  /** From the hand on, the first entry whose bucket is full, else the first whose bucket holds a token, or -1. */
  search(hand: number, now: number): number {
    const { fullAt, leastFull, leastOpen } = this.#moments;
    const blocks = leastFull.length;
    const first = Math.floor(hand / BLOCK);
    if (hand % BLOCK !== 0 && fullAt[hand]! <= now) return hand;
    // The block behind the hand is summed up while that costs little, not when the table is full and all are due.
    if (hand % BLOCK === 0) this.#best((first + blocks - 1) % blocks, 0, now);
    let open = -1;
    let looks = 0;
    // The first block once from the hand on, and once more at the end, whole.
    for (let i = 0; i <= blocks && (open < 0 || looks < MAX_LOOKS); i++) {
      const block = (first + i) % blocks;
      if (leastFull[block]! > now && (open >= 0 || leastOpen[block]! > now)) continue;
      looks++;
      const best = this.#best(block, i === 0 ? hand % BLOCK : 0, now);
      if (best >= 0 && fullAt[best]! <= now) return best;
      if (open < 0) open = best;
    }
    return open;
  }

  /**
   * The same within a block, from its entry `from` on; from 0 on, the block's summary is renewed. Two loops, since the
   * first is most of the work and is fast as long as it only compares.
   */
  #best(block: number, from: number, now: number): number {
    const { fullAt, slack } = this.#moments;
    const start = block * BLOCK + from;
    const end = Math.min(fullAt.length, (block + 1) * BLOCK);
    let leastFull = Infinity;
    let leastOpen = Infinity;
    for (let entry = start; entry < end; entry++) {
      const full = fullAt[entry]!;
      const open = full - slack[entry]!;
      if (full < leastFull) leastFull = full;
      if (open < leastOpen) leastOpen = open;
    }
    if (from === 0) {
      this.#moments.leastFull[block] = leastFull;
      this.#moments.leastOpen[block] = leastOpen;
    }
    if (leastOpen > now) return -1;
    for (let entry = start; entry < end; entry++) {
      const moment = leastFull <= now ? fullAt[entry]! : fullAt[entry]! - slack[entry]!;
      if (moment <= now) return entry;
    }
    return this.#best(block, from, now); // Another thread has just taken from it.
  }
}
