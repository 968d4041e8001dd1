import type { Config } from '../core/config.ts';
import { Failure } from '../core/errors.ts';
import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import type { Passwords } from '../core/passwords.ts';
import type { BucketStore, Policy } from '../core/rate_limit.ts';
import type { Claims, Tokens } from '../core/tokens.ts';
import type { Database } from '../db/database.ts';
import * as sessions from '../db/sessions.ts';
import type { Caller } from '../db/sessions.ts';
import type { Docs } from '../http/docs.ts';
import type { Exchange } from '../http/exchange.ts';
import type { DefineRoute, Guard, Route } from '../http/route.ts';
import type { Log } from '../telemetry/log.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import type { ServerMetrics } from '../telemetry/server_metrics.ts';

export type LimitName = 'default' | 'login' | 'login-failures';

/** What a handler may reach. */
export interface App {
  config: Config;
  db: Database;
  passwords: Passwords;
  tokens: Tokens;
  limits: Readonly<Record<LimitName, Policy>>;
  buckets: BucketStore;
  log: Log;
  /** The work in the background, to be woken when something has been enqueued. */
  jobs: { wake(): void };
  /** Whether mail can go out: in production only where MAIL_URL says so. */
  sendsMail: boolean;
  metrics: ServerMetrics;
  /** The text that `/metrics` answers with, for all threads. */
  metricsText(): Maybe<string>;
  /** A security event of a request, with who did what to whom in `fields`: logged, and counted by its name. */
  event: Recorder['event'];
  /** Wall time, ms. */
  now(): number;
  isDraining(): boolean;
  /** Whether the database has every migration that this code knows. */
  schemaIsCurrent(): Maybe<boolean>;
  /** Whether the store of the limiter answers; while it does not, another stands in for it. */
  limiterIsUp(): boolean;
  /** How late the event loop is, ms. */
  lagMs(): number;
  /** The OpenAPI document as JSON, and the page that shows it. */
  documents: { openapi(): Promise<string>; docs(): Promise<Docs> };
}

export const route: DefineRoute<App, LimitName> = (spec) => spec as Route<App>;

export const anyone: Guard<App, undefined> = { name: 'anyone', admit: () => undefined };

/** The session behind the access token and its user, both as they are now: ended, disabled and deleted are refused. */
export const currentUser: Guard<App, Caller> = {
  name: 'bearer',
  admit(app, exchange, claims) {
    if (claims === undefined) throw new Failure(isBearer(exchange) ? 'invalid_token' : 'not_authenticated');
    return then(sessions.callerBySid(app.db, claims.sid), (caller) => {
      assertLive(caller, claims, app.now());
      exchange.userId = caller.user.id;
      return caller;
    });
  },
};

export const requireAdmin: Guard<App, Caller> = {
  name: 'admin',
  admit: (app, exchange, claims) =>
    then(currentUser.admit(app, exchange, claims), (caller) => {
      if (caller.user.role !== 'admin') throw new Failure('forbidden');
      return caller;
    }),
};

/** Refuses the token of a session that has ended or expired, or of an account that is disabled or gone. */
export function assertLive<T extends Caller>(
  found: T | undefined,
  claims: Claims,
  now: number,
): asserts found is T {
  const live = found?.user.id === claims.sub && found.user.isActive && found.session.expiresAt > now;
  if (!live) throw new Failure('invalid_token');
}

const BEARER = /^bearer(?: |$)/i;

const isBearer = ({ authorization }: Exchange): boolean => authorization !== undefined && BEARER.test(authorization);

/** The token of `Authorization: Bearer` (RFC 6750 §2.1); undefined when the header is absent or of another scheme. */
export const bearerToken = (exchange: Exchange): string | undefined =>
  isBearer(exchange) ? exchange.authorization!.slice('bearer '.length).trim() : undefined;
