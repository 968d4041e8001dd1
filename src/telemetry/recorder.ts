import type { Failure } from '../core/errors.ts';
import type { Charge } from '../core/rate_limit.ts';
import { isUuid } from '../core/uuid.ts';
import type { Fields, Level, Log } from './log.ts';
import { createSampler } from './sampling.ts';
import type { ServerMetrics } from './server_metrics.ts';

/** What is told of a request; an exchange fits. */
export interface Told {
  readonly requestId: string;
  readonly ip: string;
  readonly traceId: string | undefined;
}

/** The same once it has been answered. */
export interface Answered extends Told {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  /** Monotonic nanoseconds. */
  readonly startedAt: number;
  readonly userId: string | undefined;
  readonly failure: Failure | undefined;
  readonly charges: readonly Charge[];
}

/** What happened, written down in the two places where it is looked for: the log and the metrics. */
export interface Recorder {
  /** Every request once it is answered, so it must cost next to nothing. */
  answered(request: Answered): void;
  /** A connection that was answered without a request. */
  rejected(failure: Failure, ip: string | undefined, requestId: string): void;
  /** A security event: logged with from where and when, and counted by its name. */
  event(request: Told, name: string, fields: Fields, level?: Level): void;
}

/** How often the refusals of one client under one policy are logged. They are counted all. */
const REFUSALS_EVERY_MS = 10_000;

/** `monotonic` gives nanoseconds. */
export function createRecorder(log: Log, metrics: ServerMetrics, monotonic: () => number): Recorder {
  const refusals = createSampler(REFUSALS_EVERY_MS, () => monotonic() / 1e6);

  function explain({ requestId, traceId, ip, charges }: Answered, failure: Failure): void {
    if (failure.status >= 500) {
      const fields = { request_id: requestId, trace_id: traceId, error: failure.details.cause };
      log[failure.code === 'internal' ? 'error' : 'warn'](failure.message, fields);
    }
    const refused = charges.find((charge) => charge.refused);
    if (refused === undefined) return;
    const { policy: { name: policy }, key } = refused.take;
    const leftOut = refusals.take(`${policy} ${key}`);
    if (leftOut === undefined) return;
    const who = isUuid(key) ? key : undefined;
    const seen = { request_id: requestId, trace_id: traceId, ip, user_id: who };
    log.event('rate_limit.refused', { ...seen, policy, left_out: leftOut }, 'warn');
  }

  return {
    answered(request) {
      const { requestId, traceId, method, route, status, ip, userId, failure, charges } = request;
      const durationMs = (monotonic() - request.startedAt) / 1e6;
      metrics.inFlight.dec();
      metrics.request(method, route, status, durationMs / 1000);
      for (let i = 0; i < charges.length; i++) metrics.limited(charges[i]!.take.policy.name, charges[i]!.refused);
      if (failure !== undefined) explain(request, failure);
      log.request({ requestId, traceId, method, route, status, durationMs, ip, userId });
    },

    rejected({ status }, ip = '', requestId) {
      metrics.request('', '', status, 0);
      log.request({ requestId, method: '', route: '', status, durationMs: 0, ip });
    },

    event({ requestId, traceId, ip }, name, fields, level) {
      metrics.authEvents.of(name).inc();
      log.event(name, { request_id: requestId, trace_id: traceId, ip, ...fields }, level);
    },
  };
}
