import { AsyncLocalStorage } from 'node:async_hooks';

import type { Maybe } from '../core/maybe.ts';
import type { BucketStore } from '../core/rate_limit.ts';
import type { Database } from '../db/database.ts';
import type { Log } from './log.ts';
import { endRequest, errorType, jobCall, queryCall, redisCall, startRequest } from './spans.ts';
import type { Call, IncomingRequest } from './spans.ts';
import { createTracer } from './trace.ts';
import type { Span } from './trace.ts';
import { parseTraceparent } from './trace_context.ts';

/** A request as it is traced; an exchange fits. */
export interface Traceable extends IncomingRequest {
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  readonly route: string;
  readonly status: number;
  traceId: string | undefined;
}

/** Spans of one process: what runs within a request is its child, however deep and however late. */
export interface Tracing {
  /** Continues or begins the trace of a request and answers it within its span. */
  request<R extends Traceable>(request: R, answer: (request: R) => void): void;
  /** Ends the span of a request. */
  answered(request: Traceable): void;
  /** Runs `work` in a span of its own, a child of what runs now; where nothing is being traced, just runs it. */
  call<T>(call: Call, work: () => Maybe<T>): Maybe<T>;
  /** Runs an attempt at a job in a span with which a trace begins. */
  job(kind: string, attempt: number, work: () => Promise<void>): Promise<void>;
  /** Sends what is waiting, within a bounded time. */
  close(): Promise<void>;
}

export interface TracingOptions {
  endpoint: string;
  serviceName: string;
  serviceVersion: string;
  log: Log;
  /** Wall time, ms. */
  now: () => number;
  /** Monotonic nanoseconds. */
  monotonic: () => number;
}

export function createTracing({ now, monotonic, ...options }: TracingOptions): Tracing {
  const tracer = createTracer({ ...options, now: createFineClock(now, monotonic) });
  const current = new AsyncLocalStorage<Span>();
  const spans = new WeakMap<Traceable, Span>();

  /** What is thrown marks the span and passes on. */
  function spanned<T>(parent: Span | undefined, { name, kind, attributes }: Call, work: () => Maybe<T>): Maybe<T> {
    const span = tracer.startSpan(name, kind, parent, { ...attributes });
    const failed = (error: unknown): never => {
      span.set({ 'error.type': errorType(error) });
      span.end('error');
      throw error;
    };
    const done = (result: T): T => {
      span.end();
      return result;
    };
    let result: Maybe<T>;
    try {
      result = current.run(span, work);
    } catch (error) {
      return failed(error);
    }
    return result instanceof Promise ? result.then(done, failed) : done(result);
  }

  return {
    request(request, answer) {
      const span = startRequest(tracer, request, parseTraceparent(request.traceparent, request.tracestate));
      spans.set(request, span);
      request.traceId = span.traceId;
      current.run(span, answer, request);
    },

    answered(request) {
      const span = spans.get(request);
      if (span !== undefined) endRequest(span, request.route, request.status);
    },

    call(call, work) {
      const parent = current.getStore();
      // A timer that was set within a span outlives it.
      return parent === undefined || parent.ended ? work() : spanned(parent, call, work);
    },

    job: async (kind, attempt, work) => spanned(undefined, jobCall(kind, attempt), work),

    close: () => tracer.close(),
  };
}

const LARGEST_DRIFT_MS = 50;

/** Wall time with fractions of a millisecond: counted on from a look at the clock, until the two part. */
function createFineClock(now: () => number, monotonic: () => number): () => number {
  let origin = now() - monotonic() / 1e6;
  return () => {
    const fine = origin + monotonic() / 1e6;
    const drift = now() - fine;
    if (Math.abs(drift) > LARGEST_DRIFT_MS) origin += drift;
    return Math.abs(drift) > LARGEST_DRIFT_MS ? fine + drift : fine;
  };
}

/** The same database, each of whose reads and writes is a span. */
export function tracedDatabase(db: Database, tracing: Tracing): Database {
  const system = db.kind === 'sqlite' ? 'sqlite' : 'postgresql';
  const observe = <T>(sql: string, work: () => Maybe<T>): Maybe<T> => tracing.call(queryCall(system, sql), work);
  return {
    ...db,
    one: (sql, params) => observe(sql, () => db.one(sql, params)),
    all: (sql, params) => observe(sql, () => db.all(sql, params)),
    write: async (statements) =>
      observe(statements.map(({ sql }) => sql.trim()).join(';\n'), () => db.write(statements)),
  };
}

/** Likewise Redis. */
export const tracedBuckets = (buckets: BucketStore, tracing: Tracing): BucketStore => ({
  take: (takes) => tracing.call(redisCall('EVALSHA'), () => buckets.take(takes)),
  giveBack: (take) => tracing.call(redisCall('EVALSHA'), () => buckets.giveBack(take)),
  close: () => buckets.close(),
});
