import { randomBytes } from 'node:crypto';

/** A place in a trace that a new span can continue from: a caller's span, or one of ours. */
export interface TraceParent {
  /** 32 lower-case hex digits. */
  traceId: string;
  /** 16 lower-case hex digits. */
  spanId: string;
  sampled: boolean;
  /** Other vendors' words, passed on as they came. */
  tracestate?: string | undefined;
}

/** W3C Trace Context §3.2.2: version, trace-id, parent-id, trace-flags; later versions may add fields behind a `-`. */
const TRACEPARENT_FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
type Groups = [whole: string, version: string, traceId: string, spanId: string, flags: string, rest?: string];
const ZEROES = /^0+$/;
/** §3.3.1.3: a longer one may be dropped. */
const MAX_TRACESTATE = 512;
const TRACESTATE_FORM = /^[\x20-\x7e]+$/;

/**
 * The caller's place, from the values of its `traceparent` and `tracestate` headers; undefined when there is no valid
 * `traceparent`, and then its `tracestate` means nothing either. Two headers, joined with a comma, are invalid.
 */
export function parseTraceparent(traceparent: string | undefined, tracestate?: string): TraceParent | undefined {
  if (traceparent === undefined) return undefined;
  const match = TRACEPARENT_FORM.exec(traceparent.trim());
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags, rest] = match as unknown as Groups;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (ZEROES.test(traceId) || ZEROES.test(spanId)) return undefined;
  const kept = tracestate !== undefined && tracestate.length <= MAX_TRACESTATE && TRACESTATE_FORM.test(tracestate);
  const sampled = (Number.parseInt(flags, 16) & 1) === 1;
  return { traceId, spanId, sampled, tracestate: kept ? tracestate : undefined };
}

/** Random ids, drawn in batches: one call of the generator costs more than the hundred ids it yields. */
export function createIds(): { traceId(): string; spanId(): string } {
  let pool = '';
  let used = 0;

  function take(digits: number): string {
    if (used + digits > pool.length) {
      pool = randomBytes(2_048).toString('hex');
      used = 0;
    }
    used += digits;
    return pool.slice(used - digits, used);
  }

  return { traceId: () => take(32), spanId: () => take(16) };
}
