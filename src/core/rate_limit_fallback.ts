import type { Maybe } from './maybe.ts';
import { policy } from './rate_limit.ts';
import type { BucketStore, Take, Taken } from './rate_limit.ts';

export interface FallbackOptions {
  /** Holds for all instances, but may fail. */
  shared: BucketStore;
  /** Holds for this process, never fails. */
  local: BucketStore;
  /** At least 0, less than 1: spreads the attempts of many instances. */
  random: () => number;
  /** Called once for each change, the first finding included. The reason may be logged. */
  onChange: (up: boolean, reason: string) => void;
}

/** The longest time between two looks at the shared store while it is well, and while it is away. */
const WELL_MS = 5000;
const AWAY_MS = 1000;

/** A take that is never refused, so that a look writes, and finds out about a store that can only be read. */
const look: Take = { policy: policy('look', { limit: 1_000_000, windowMs: 1000 }), key: 'look' };

/**
 * The shared store as long as it works, else the local one: a request is never refused, let alone unlimited, because
 * the shared store is away.
 *
 * Whoever finds it failing is answered by the local store, and so is everybody after that, at once. It is looked at
 * in the background, and used again as soon as it has answered: within 1 s and the time that an answer takes. A token
 * may go back to the other store than it came from; either takes no more than fit.
 */
export class FallbackStore implements BucketStore {
  readonly #shared: BucketStore;
  readonly #local: BucketStore;
  readonly #random: () => number;
  readonly #onChange: (up: boolean, reason: string) => void;
  /** Undefined until the first look. */
  #up: boolean | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ shared, local, random, onChange }: FallbackOptions) {
    this.#shared = shared;
    this.#local = local;
    this.#random = random;
    this.#onChange = onChange;
  }

  /** Whether the shared store is in use. */
  get up(): boolean {
    return this.#up === true;
  }

  /** Looks at the shared store for the first time, and from then on in the background, without holding the process. */
  async start(): Promise<void> {
    try {
      await this.#shared.take([look]);
      this.#set(true, 'it answers');
    } catch (error) {
      this.#failed(error);
    }
    this.#schedule();
  }

  take(takes: readonly Take[]): Maybe<Taken> {
    return this.up ? this.#ask((store) => store.take(takes)) : this.#local.take(takes);
  }

  giveBack(take: Take): Maybe<void> {
    return this.up ? this.#ask((store) => store.giveBack(take)) : this.#local.giveBack(take);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.all([this.#shared.close(), this.#local.close()]);
  }

  async #ask<T>(verb: (store: BucketStore) => Maybe<T>): Promise<T> {
    try {
      return await verb(this.#shared);
    } catch (error) {
      this.#failed(error);
      return verb(this.#local);
    }
  }

  #failed(error: unknown): void {
    this.#set(false, error instanceof Error ? error.message : String(error));
  }

  #set(up: boolean, reason: string): void {
    if (this.#up === up || this.#closed) return;
    this.#up = up;
    this.#schedule();
    this.#onChange(up, reason);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const most = this.up ? WELL_MS : AWAY_MS;
    this.#timer = setTimeout(() => void this.start(), most * (0.5 + this.#random() / 2)).unref();
  }
}
