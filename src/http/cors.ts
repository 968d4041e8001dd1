import type { Exchange } from './exchange.ts';

/** Cross-origin rules (WHATWG Fetch §3.2) for `'*'`, a list of origins, or none. */
export interface Cors {
  /** Adds what every answer to a cross-origin request carries. */
  mark(exchange: Exchange): void;
  /** What the answer to a preflight adds. */
  preflight(exchange: Exchange, allow: string): string[];
}

const EXPOSED = 'X-Request-Id, RateLimit, RateLimit-Policy, Retry-After';
const ALLOWED = 'Authorization, Content-Type, X-Request-Id, traceparent, tracestate';
const PREFLIGHT_SECONDS = '600';

export function createCors(origins: '*' | readonly string[] | undefined): Cors {
  const isAllowed = (origin: string | undefined): origin is string =>
    origin !== undefined && (origins === '*' || (origins?.includes(origin) ?? false));
  return {
    mark(exchange) {
      if (origins === undefined) return;
      if (origins !== '*') exchange.headers.push('Vary', 'Origin');
      if (!isAllowed(exchange.origin)) return;
      const allowed = origins === '*' ? '*' : exchange.origin;
      exchange.headers.push('Access-Control-Allow-Origin', allowed, 'Access-Control-Expose-Headers', EXPOSED);
    },

    preflight: ({ origin, preflight }, allow) =>
      preflight === undefined || !isAllowed(origin)
        ? []
        : [
            'Access-Control-Allow-Methods', allow,
            'Access-Control-Allow-Headers', ALLOWED,
            'Access-Control-Max-Age', PREFLIGHT_SECONDS,
          ],
  };
}
