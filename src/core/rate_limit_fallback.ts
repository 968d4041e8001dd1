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
  /** Called once for each change after the first finding, with the new `fault`. */
  onChange: (fault: string | undefined) => void;
}

/** The longest time between two looks at the shared store while it is well, and while it is away. */
const WELL_MS = 5000;
const AWAY_MS = 1000;
const NEVER_LOOKED = 'it was not looked at yet';

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
  readonly #onChange: (fault: string | undefined) => void;
  #fault: string | undefined = NEVER_LOOKED;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ shared, local, random, onChange }: FallbackOptions) {
    this.#shared = shared;
    this.#local = local;
    this.#random = random;
    this.#onChange = onChange;
  }

  /** Why the shared store is not in use, in words that may be logged; undefined while it is. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Looks at the shared store now, and from then on in the background, without holding the process. */
  async look(): Promise<void> {
    try {
      await this.#shared.take([look]);
      this.#set(undefined);
    } catch (error) {
      this.#failed(error);
    }
    this.#schedule();
  }

  take(takes: readonly Take[]): Maybe<Taken> {
    return this.#fault === undefined ? this.#ask((store) => store.take(takes)) : this.#local.take(takes);
  }

  giveBack(take: Take): Maybe<void> {
    return this.#fault === undefined ? this.#ask((store) => store.giveBack(take)) : this.#local.giveBack(take);
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
    this.#set(error instanceof Error ? error.message : String(error));
  }

  #set(fault: string | undefined): void {
    const before = this.#fault;
    if (this.#closed) return;
    this.#fault = fault;
    if ((before === undefined) === (fault === undefined)) return;
    this.#schedule();
    if (before !== NEVER_LOOKED) this.#onChange(fault);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const most = this.#fault === undefined ? WELL_MS : AWAY_MS;
    this.#timer = setTimeout(() => void this.look(), most * (0.5 + this.#random() / 2)).unref();
  }
}
