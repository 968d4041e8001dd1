import { Failure } from '../core/errors.ts';
import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import type { Take } from '../core/rate_limit.ts';
import type { Claims } from '../core/tokens.ts';
import { checkMediaType, parseJson } from '../http/body.ts';
import { networkOf } from '../http/client_ip.ts';
import type { Cors } from '../http/cors.ts';
import type { Exchange } from '../http/exchange.ts';
import { toFailure } from '../http/problem.ts';
import { parseParams, parseQuery } from '../http/query.ts';
import type { AnyReply, Content, Route } from '../http/route.ts';
import type { Router } from '../http/router.ts';
import { check } from '../http/schema.ts';
import { bearerToken } from './deps.ts';
import type { App, LimitName } from './deps.ts';
import { charge, writeLimits } from './limits.ts';

/**
 * Answers an exchange. The order is the security argument:
 *
 *   route → signature → bucket → user and role → body → validation → handler
 *
 * A flood is stopped by the bucket, before the database, the body and scrypt. The signature comes before the bucket
 * because it says whose bucket it is: a forged token counts as its client's address and never gets one of its own.
 * Nobody learns what a body should look like without being allowed to send it.
 */
export function createPipeline(app: App, router: Router<App>, cors: Cors): (exchange: Exchange) => void {
  return (exchange) => {
    const refuse = (thrown: unknown): void => {
      writeLimits(exchange);
      exchange.refuse(toFailure(thrown));
    };
    try {
      const done = serve(app, router, cors, exchange);
      if (done instanceof Promise) done.catch(refuse);
    } catch (thrown) {
      refuse(thrown);
    }
  };
}

function serve(app: App, router: Router<App>, cors: Cors, exchange: Exchange): Maybe<void> {
  cors.mark(exchange);
  if (exchange.fault !== undefined) throw exchange.fault;
  if (exchange.method === 'OPTIONS') return answerOptions(router, cors, exchange);
  const { route, params } = router.match(exchange.method, exchange.path);
  exchange.route = route.path;
  const claims = signed(app, exchange);
  return then(limit(app, exchange, route, claims), () =>
    then(route.guard.admit(app, exchange, claims), (caller) =>
      then(readBody(exchange, route), (bytes) => {
        const call = {
          app,
          caller: caller as never,
          params: parseParams(params) as never,
          query: parseQuery(exchange.search, route.query) as never,
          body: validate(bytes, route) as never,
          exchange,
          now: app.now(),
        };
        return then(route.handler(call), (reply) => answer(exchange, route, reply));
      }),
    ),
  );
}

/** The claims of an access token that we signed and that has not expired. */
function signed(app: App, exchange: Exchange): Claims | undefined {
  const token = bearerToken(exchange);
  return token === undefined ? undefined : app.tokens.verify(token, 'access', app.now());
}

function limit(app: App, exchange: Exchange, route: Route<App>, claims: Claims | undefined): Maybe<void> {
  if (route.limits.length === 0) return;
  const network = networkOf(exchange.ip);
  const takes: Take[] = [];
  for (const name of route.limits) {
    const key = name === 'default' && claims !== undefined ? claims.sub : network;
    takes.push({ policy: app.limits[name as LimitName], key });
  }
  return charge(app, exchange, takes);
}

function readBody(exchange: Exchange, route: Route<App>): Maybe<Buffer | undefined> {
  if (route.body === undefined) return undefined;
  checkMediaType(exchange.contentType, exchange.contentEncoding);
  return exchange.readBody();
}

function validate(bytes: Buffer | undefined, route: Route<App>): unknown {
  if (bytes === undefined) return undefined;
  const value = parseJson(bytes);
  const errors = check(route.body!, value);
  if (errors.length > 0) throw new Failure('validation_failed', undefined, { errors });
  return value;
}

function answer(exchange: Exchange, route: Route<App>, { status, body, headers }: AnyReply): void {
  const declared = route.replies[status];
  if (declared === undefined) throw new Error(`${route.operationId} answered ${status}, which it does not declare`);
  writeLimits(exchange);
  if (route.guard.name !== 'anyone') exchange.headers.push('Cache-Control', 'no-store');
  if (declared === null) return exchange.send(status, undefined, undefined, headers);
  if (!('mediaType' in declared)) return exchange.send(status, 'application/json', JSON.stringify(body), headers);
  const { mediaType } = declared as Content;
  if (typeof body === 'string' || Buffer.isBuffer(body)) return exchange.send(status, mediaType, body, headers);
  exchange.sendStream(status, mediaType, body as Parameters<Exchange['sendStream']>[2], headers);
}

function answerOptions(router: Router<App>, cors: Cors, exchange: Exchange): void {
  const allow = exchange.path === '*' ? 'GET, HEAD, POST, PATCH, DELETE, OPTIONS' : router.allowed(exchange.path);
  if (allow === undefined) throw new Failure('not_found', 'There is nothing at this path.');
  exchange.send(204, undefined, undefined, ['Allow', allow, ...cors.preflight(exchange, allow)]);
}
