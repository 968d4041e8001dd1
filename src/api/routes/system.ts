import { hash, timingSafeEqual } from 'node:crypto';

import type { Config } from '../../core/config.ts';
import { Failure } from '../../core/errors.ts';
import { then } from '../../core/maybe.ts';
import { reply } from '../../http/route.ts';
import type { Guard, Route } from '../../http/route.ts';
import { object, oneOf } from '../../http/schema.ts';
import { anyone, bearerToken, route } from '../deps.ts';
import type { App } from '../deps.ts';
import { look, objection, PartsOut } from '../readiness.ts';

const Alive = object({ status: oneOf(['ok']) }, { title: 'Alive' });
const Ready = object({ status: oneOf(['ok']), parts: PartsOut }, { title: 'Ready' });

const health: Route<App>[] = [
  route({
    method: 'GET',
    path: '/healthz',
    operationId: 'getHealth',
    tag: 'system',
    summary: 'Whether the process is alive',
    guard: anyone,
    limits: [],
    replies: { 200: Alive },
    handler: () => reply(200, { status: 'ok' as const }),
  }),

  route({
    method: 'GET',
    path: '/readyz',
    operationId: 'getReadiness',
    tag: 'system',
    summary: 'Whether it is ready for requests, and which part is not',
    guard: anyone,
    limits: [],
    replies: { 200: Ready },
    failures: ['unavailable'],
    async handler({ app }) {
      const parts = await look(app);
      const detail = objection(parts);
      if (detail !== undefined) throw new Failure('unavailable', detail, { retryAfter: 1, parts });
      return reply(200, { status: 'ok' as const, parts });
    },
  }),
];

const documents: Route<App>[] = [
  route({
    method: 'GET',
    path: '/',
    operationId: 'getRoot',
    tag: 'system',
    summary: 'Redirect to the documentation',
    guard: anyone,
    limits: [],
    replies: { 307: null },
    handler: () => reply(307, undefined, ['Location', '/docs']),
  }),

  route({
    method: 'GET',
    path: '/docs',
    operationId: 'getDocs',
    tag: 'system',
    summary: 'This API as a page to read and try',
    guard: anyone,
    limits: [],
    replies: { 200: { mediaType: 'text/html; charset=utf-8' } },
    async handler({ app }) {
      const { html, contentSecurityPolicy } = await app.documents.docs();
      const headers = ['Content-Security-Policy', contentSecurityPolicy, 'Referrer-Policy', 'no-referrer'];
      return reply(200, html, headers);
    },
  }),

  route({
    method: 'GET',
    path: '/openapi.json',
    operationId: 'getOpenApi',
    tag: 'system',
    summary: 'This API as an OpenAPI 3.1 document',
    guard: anyone,
    limits: [],
    replies: { 200: { mediaType: 'application/json' } },
    handler: async ({ app }) => reply(200, await app.documents.openapi()),
  }),
];

/** Who presents `token`, which is no access token, as a Bearer token. */
const bearerOf = (token: string): Guard<App, undefined> => ({
  name: 'bearer',
  admit(_app, exchange) {
    const given = bearerToken(exchange);
    if (given === undefined) throw new Failure('not_authenticated', 'This needs METRICS_TOKEN as a Bearer token.');
    // Hashes have one length, so the comparison tells nothing of the token's.
    const [a, b] = [hash('sha256', given, 'buffer'), hash('sha256', token, 'buffer')];
    if (!timingSafeEqual(a, b)) throw new Failure('invalid_token', 'This is not METRICS_TOKEN.');
  },
});

const metrics = (token: string | undefined): Route<App> =>
  route({
    method: 'GET',
    path: '/metrics',
    operationId: 'getMetrics',
    tag: 'system',
    summary: 'What the server has counted, for Prometheus',
    ...(token === undefined ? {} : { description: 'The Bearer token is METRICS_TOKEN, not an access token.' }),
    guard: token === undefined ? anyone : bearerOf(token),
    limits: [],
    replies: { 200: { mediaType: 'text/plain; version=0.0.4; charset=utf-8' } },
    handler: ({ app }) => then(app.metricsText(), (text) => reply(200, text)),
  });

/** In production the metrics are nobody's business unless a token says whose. */
export const systemRoutes = ({ docsEnabled, metricsToken, environment }: Config): Route<App>[] => [
  ...health,
  ...(metricsToken === undefined && environment === 'production' ? [] : [metrics(metricsToken)]),
  ...(docsEnabled ? documents : []),
];
