import type { Readable } from 'node:stream';

import type { Code } from '../core/errors.ts';
import type { Maybe } from '../core/maybe.ts';
import type { Claims } from '../core/tokens.ts';
import type { Exchange } from './exchange.ts';
import type { Schema } from './schema.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A body that is not JSON, by its media type. */
export interface Content {
  mediaType: string;
}

/** An answer: a schema of its JSON body, another kind of content, or `null` for no body at all. */
export type ReplyBody = Schema<unknown> | Content | null;
export type Replies = Readonly<Record<number, ReplyBody>>;

type BodyOf<D> = D extends null
  ? { body?: undefined }
  : D extends Content
    ? { body: string | Buffer | Readable }
    : D extends Schema<infer T>
      ? { body: T }
      : never;

/** What a handler may answer: one of the declared statuses, with the body that goes with it. */
export type Reply<R extends Replies> = {
  [S in keyof R & number]: { status: S; headers?: readonly string[] } & BodyOf<R[S]>;
}[keyof R & number];

/** An answer with its status as a literal type, so that only declared ones compile. */
export function reply<const S extends number>(status: S, body?: undefined, headers?: readonly string[]): { status: S };
export function reply<const S extends number, B>(
  status: S,
  body: B,
  headers?: readonly string[],
): { status: S; body: B };
export function reply(status: number, body?: unknown, headers?: readonly string[]): AnyReply {
  return headers === undefined ? { status, body } : { status, body, headers };
}

export type ParamNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParamNames<Rest>
  : never;

/** Who may call a route. `admit` answers with the caller, or throws the 401 or 403. */
export interface Guard<App, Caller> {
  /** `anyone` needs no token, `bearer` a token, a role the token of somebody who has it. */
  name: 'anyone' | 'bearer' | 'admin';
  /** `claims` are those of an access token whose signature and expiry verify. */
  admit(app: App, exchange: Exchange, claims: Claims | undefined): Maybe<Caller>;
}

/** What a handler is called with: everything in it has been checked. */
export interface Call<App, Caller, Params, Query, Body> {
  app: App;
  caller: Caller;
  params: Params;
  query: Query;
  body: Body;
  exchange: Exchange;
  /** Wall time of the request, ms. */
  now: number;
}

/** One operation of the API; documentation, validation and refusals are read off this literal. */
export interface RouteSpec<App, Path extends string, Caller, Query, Body, R extends Replies> {
  method: Method;
  /** `/users/{id}`: every parameter is a UUID. */
  path: Path;
  operationId: string;
  tag: string;
  summary: string;
  description?: string;
  guard: Guard<App, Caller>;
  /** Names of the policies that limit it. */
  limits: readonly string[];
  /** An object schema; integers are read from their decimal text. */
  query?: Schema<Query>;
  body?: Schema<Body>;
  replies: R;
  /** Refusals of its own, besides those that guard, limits, query and body bring. */
  failures?: readonly Code[];
  handler(call: Call<App, Caller, Record<ParamNames<Path>, string>, Query, Body>): Maybe<Reply<R>>;
}

/** A route of any shape, as the router and the documents see it. */
export interface Route<App> extends Omit<RouteSpec<App, string, unknown, unknown, unknown, Replies>, 'handler'> {
  handler(call: Call<App, never, never, never, never>): Maybe<AnyReply>;
}

export interface AnyReply {
  status: number;
  headers?: readonly string[];
  body?: unknown;
}

/** Checks a literal against its own declarations, and that its limits are some of those there are. */
export type DefineRoute<App, Limit extends string> = <
  const Path extends string,
  Caller,
  const R extends Replies,
  Query = undefined,
  Body = undefined,
>(
  spec: RouteSpec<App, Path, Caller, Query, Body, R> & { limits: readonly Limit[] },
) => Route<App>;
