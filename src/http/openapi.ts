import { Failure, statusOf } from '../core/errors.ts';
import type { Code } from '../core/errors.ts';
import { STATUS_CODES } from './node_http.ts';
import { PROBLEM_TYPE, toProblem } from './problem.ts';
import type { Route } from './route.ts';
import { array, integer, object, optional, propertiesOf, record, string } from './schema.ts';
import type { Schema } from './schema.ts';

const Problem = object(
  {
    type: string({ format: 'uri', examples: ['about:blank'] }),
    title: string({ description: 'The phrase that goes with the status.' }),
    status: integer({ examples: [404] }),
    detail: string({ description: 'A sentence for people.' }),
    code: string({ description: 'A stable word for programs.', examples: ['not_found'] }),
    request_id: string({ description: 'Finds the request in the log.' }),
    errors: optional(
      array(object({ pointer: string({ examples: ['/email'] }), detail: string() }), {
        description: 'Every wrong field of the body, by JSON Pointer.',
      }),
    ),
    parts: optional(record(string(), { description: 'What each part of a server that is not ready says of itself.' })),
  },
  { title: 'Problem' },
);

export interface DocumentInfo {
  title: string;
  version: string;
  description: string;
  /** A licence by its SPDX identifier. */
  license: { name: string; identifier: string };
  /** What each tag of the routes is about, in order. */
  tags: Readonly<Record<string, string>>;
  /** What each limit of the routes allows, by its name. */
  limits: Readonly<Record<string, string>>;
}

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document of some routes. Schemas are taken as they are; those with a title become components. */
export function toOpenApi<App>(routes: readonly Route<App>[], { tags, limits, ...info }: DocumentInfo): Json {
  const schemas: Json = {};
  const used = new Set(routes.map(({ tag }) => tag));
  const codes = new Set(routes.flatMap(codesOf));
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route, schemas, limits);
  }
  return {
    openapi: '3.1.0',
    info,
    servers: [{ url: '/' }],
    tags: Object.entries(tags)
      .filter(([name]) => used.has(name))
      .map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas,
      examples: Object.fromEntries([...codes].map((code) => [code, { value: example(code) }])),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
  };
}

function operation<App>(route: Route<App>, schemas: Json, allowed: DocumentInfo['limits']): Json {
  const { operationId, summary, description, tag, guard, body, query, path, limits } = route;
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
      return { name, in: 'path', required: true, schema: string({ format: 'uuid' }) };
    }),
    ...Object.entries(query === undefined ? {} : propertiesOf(query)).map(([name, { description, ...schema }]) => {
      return { name, in: 'query', required: false, ...(description === undefined ? {} : { description }), schema };
    }),
  ];
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: guard.name === 'anyone' ? [] : [{ bearer: [] }],
    ...(guard.name === 'admin' ? { 'x-role': 'admin' } : {}),
    ...(limits.length === 0 ? {} : { 'x-rate-limits': limits.map((name) => `${name}: ${allowed[name]}`) }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: named(body, schemas) } } } }),
    responses: { ...successes(route, schemas), ...refusals(route, schemas) },
  };
}

/** A schema with a title as a reference to a component of that name. */
function named(schema: Schema<unknown>, schemas: Json): Json {
  const inner = Object.fromEntries(
    Object.entries(schema).map(([keyword, value]) => {
      if (keyword === 'properties') {
        const properties = Object.entries(value as Record<string, Schema<unknown>>);
        return [keyword, Object.fromEntries(properties.map(([name, property]) => [name, named(property, schemas)]))];
      }
      return [keyword, keyword === 'items' ? named(value as Schema<unknown>, schemas) : value];
    }),
  );
  const title = schema['title'] as string | undefined;
  if (title === undefined) return inner;
  schemas[title] = inner;
  return { $ref: `#/components/schemas/${title}` };
}

const LIMIT_HEADERS = {
  RateLimit: { description: 'Tokens left and seconds until full, per policy.', schema: string() },
  'RateLimit-Policy': { description: 'Quota and window in seconds, per policy.', schema: string() },
};

const CHALLENGE = { 'WWW-Authenticate': { description: 'Bearer (RFC 6750 §3).', schema: string() } };
const PATIENCE = { 'Retry-After': { description: 'Seconds until it is worth trying again.', schema: integer() } };
const REFUSAL_HEADERS: Readonly<Record<number, Json>> = {
  401: CHALLENGE,
  403: CHALLENGE,
  429: PATIENCE,
  503: PATIENCE,
};

function successes<App>({ replies, limits }: Route<App>, schemas: Json): Json {
  return Object.fromEntries(
    Object.entries(replies).map(([status, reply]) => {
      const schema = reply === null ? undefined : 'mediaType' in reply ? {} : named(reply as Schema<unknown>, schemas);
      const mediaType = reply !== null && 'mediaType' in reply ? String(reply['mediaType']) : 'application/json';
      const content = schema === undefined ? {} : { content: { [mediaType]: { schema } } };
      const headers = limits.length === 0 ? {} : { headers: LIMIT_HEADERS };
      return [status, { description: STATUS_CODES[status], ...headers, ...content }];
    }),
  );
}

/** Every code that a request to this route can be refused with, its own and those of the pipeline. */
export function codesOf<App>({ guard, limits, body, query, path, failures = [] }: Route<App>): Code[] {
  const codes: Code[] = [
    'malformed_request', 'invalid_host', 'duplicate_header', 'invalid_parameter', 'request_timeout', 'target_too_long',
    'headers_too_large', 'internal', 'method_not_allowed',
  ];
  if (guard.name !== 'anyone') codes.push('not_authenticated', 'invalid_token', 'unavailable');
  if (guard.name === 'admin') codes.push('forbidden');
  if (limits.length > 0) codes.push('rate_limited');
  if (body !== undefined) {
    codes.push('unsupported_media_type', 'body_too_large', 'invalid_json', 'validation_failed', 'unavailable');
  }
  if (path.includes('{') || query !== undefined) codes.push('unavailable');
  return [...new Set([...codes, ...failures])];
}

function refusals<App>(route: Route<App>, schemas: Json): Json {
  const byStatus = new Map<number, Code[]>();
  for (const code of codesOf(route)) byStatus.set(statusOf(code), [...(byStatus.get(statusOf(code)) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].sort(([a], [b]) => a - b).map(([status, codes]) => [
      status,
      {
        description: STATUS_CODES[status],
        'x-codes': codes,
        ...(status in REFUSAL_HEADERS ? { headers: REFUSAL_HEADERS[status] } : {}),
        content: {
          [PROBLEM_TYPE]: {
            schema: named(Problem, schemas),
            examples: Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }])),
          },
        },
      },
    ]),
  );
}

function example(code: Code): unknown {
  const errors = code === 'validation_failed' ? [{ pointer: '/email', detail: 'is missing' }] : undefined;
  return JSON.parse(toProblem(new Failure(code, undefined, errors && { errors }), 'k3v9x2-1').body);
}
