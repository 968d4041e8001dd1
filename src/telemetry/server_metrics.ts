import type { Counter, Gauge, Histogram, Labelled, Registry } from './metrics.ts';

/** What this server counts. Label values are route templates and words of our own, never what a client sent. */
export interface ServerMetrics {
  /** One answered request; `route` is the template, '' when none matched. */
  request(method: string, route: string, status: number, seconds: number): void;
  inFlight: Gauge;
  /** What the limiter made of one request under one of its policies. */
  limited(policy: string, refused: boolean): void;
  /** 1 while the shared store answers, 0 while the in-process one stands in for it. */
  rateLimitStoreUp: Gauge;
  passwordQueueDepth: Gauge;
  authEvents: Labelled<readonly ['event'], Counter>;
  jobs: Labelled<readonly ['kind', 'outcome'], Counter>;
  purgedRows: Labelled<readonly ['what'], Counter>;
  /** Threads that had served and died. */
  threadsReplaced: Labelled<readonly ['reason'], Counter>;
}

/**
 * Seconds. A read is answered in 100 µs, a write waits for an fsync (1–10 ms), a login for scrypt (100 ms and up, more
 * when it queues), the rest is trouble; 10 s is where the clients of such a server have given up.
 */
export const durationBounds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

/** RFC 9110 §9, RFC 5789. The parser knows some thirty more, which no route answers to. */
export const usualMethods: ReadonlySet<string> = new Set([
  'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT',
]);

/** The series of one method and route, found once. */
interface RouteSeries {
  duration: Histogram;
  /** By status. */
  requests: Map<number, Counter>;
}

export function createServerMetrics(registry: Registry): ServerMetrics {
  const requests = registry.counter(
    'http_requests_total', 'Requests answered, by method, route template and status.', ['method', 'route', 'status']);
  const durations = registry.histogram(
    'http_request_duration_seconds', 'Time from a request to the end of its answer.', ['method', 'route'],
    durationBounds);
  const rateLimitStoreUp = registry.gauge(
    'rate_limit_store_up', 'Whether the shared rate-limit store answers.', [], 'min').of();
  rateLimitStoreUp.set(1);
  const decisions = registry.counter(
    'rate_limit_decisions_total', 'Decisions of the rate limiter, allowed or refused.', ['policy', 'outcome']);
  const byPolicy = new Map<string, { allowed: Counter; refused: Counter }>();
  const byRoute = new Map<string, Map<string, RouteSeries>>();

  function seriesOf(method: string, route: string): RouteSeries {
    let byMethod = byRoute.get(route);
    if (byMethod === undefined) byRoute.set(route, (byMethod = new Map()));
    let series = byMethod.get(method);
    if (series === undefined) {
      series = { duration: durations.of(method, route === '' ? 'none' : route), requests: new Map() };
      byMethod.set(method, series);
    }
    return series;
  }

  function decisionsOf(policy: string): { allowed: Counter; refused: Counter } {
    const made = { allowed: decisions.of(policy, 'allowed'), refused: decisions.of(policy, 'refused') };
    byPolicy.set(policy, made);
    return made;
  }

  return {
    limited: (policy, refused) =>
      (byPolicy.get(policy) ?? decisionsOf(policy))[refused ? 'refused' : 'allowed'].inc(),

    request(method, route, status, seconds) {
      const known = usualMethods.has(method) ? method : 'other';
      const series = seriesOf(known, route);
      let counter = series.requests.get(status);
      if (counter === undefined) {
        counter = requests.of(known, route === '' ? 'none' : route, String(status));
        series.requests.set(status, counter);
      }
      counter.inc();
      series.duration.observe(seconds);
    },
    inFlight: registry.gauge('http_requests_in_flight', 'Requests being answered.').of(),
    rateLimitStoreUp,
    passwordQueueDepth: registry.gauge(
      'password_hash_queue_depth', 'Passwords that wait to be hashed.', [], 'max').of(),
    authEvents: registry.counter('auth_events_total', 'Security events, by name.', ['event']),
    jobs: registry.counter('jobs_total', 'Background jobs run, by kind and outcome.', ['kind', 'outcome']),
    purgedRows: registry.counter('purged_rows_total', 'Rows that were deleted because they were over.', ['what']),
    threadsReplaced: registry.counter(
      'serving_threads_replaced_total', 'Threads that died and were replaced.', ['reason']),
  };
}
