/** A value, or the promise of one: what works at once is not made to wait a turn of the event loop. */
export type Maybe<T> = T | Promise<T>;

/** `next(value)`, now or when the promise is kept. Whatever throws or rejects passes to the caller. */
export function then<T, U>(value: Maybe<T>, next: (value: T) => Maybe<U>): Maybe<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
