import type { Maybe } from '../core/maybe.ts';
import type { Attributes, SpanKind } from './finished_span.ts';
import type { Span, Tracer } from './trace.ts';
import type { TraceParent } from './trace_context.ts';

/** What a span is called and says, by OpenTelemetry's semantic conventions (HTTP and database: the stable ones). */
export interface Call {
  name: string;
  kind: SpanKind;
  attributes: Attributes;
}

/** What is known of a request before it is routed. */
export interface IncomingRequest {
  method: string;
  scheme: 'http' | 'https';
  clientAddress: string;
  userAgent?: string | undefined;
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);

/** The span of a request; `endRequest` ends it. The path stays here: whoever mistook it may have a secret there. */
export function startRequest(tracer: Tracer, request: IncomingRequest, parent: TraceParent | undefined): Span {
  const method = methods.has(request.method) ? request.method : '_OTHER';
  return tracer.startSpan(method === '_OTHER' ? 'HTTP' : method, 'server', parent, {
    'http.request.method': method,
    'url.scheme': request.scheme,
    'client.address': request.clientAddress,
    'user_agent.original': request.userAgent,
  });
}

/** `route` is the template, '' when none matched. A refusal is the client's fault; from 500 on it is an error. */
export function endRequest(span: Span, route: string, status: number): void {
  if (route !== '') span.name = `${span.name} ${route}`;
  span.set({
    'http.route': route === '' ? undefined : route,
    'http.response.status_code': status,
    'error.type': status >= 500 ? String(status) : undefined,
  });
  span.end(status >= 500 ? 'error' : 'unset');
}

/** A statement. `sql` has placeholders where its values go: it is exported as it is. */
export function queryCall(system: 'sqlite' | 'postgresql', sql: string): Call {
  const operation = (/^\s*(\w+)/.exec(sql)?.[1] ?? system).toUpperCase();
  const table = /\b(?:from|into|update|table)\s+"?(\w+)/i.exec(sql)?.[1];
  const name = table === undefined ? operation : `${operation} ${table}`;
  return {
    name,
    kind: 'client',
    attributes: {
      'db.system.name': system,
      'db.operation.name': operation,
      'db.collection.name': table,
      'db.query.summary': name,
      'db.query.text': sql,
    },
  };
}

/** A Redis command by its name alone: keys and values stay here. */
export const redisCall = (command: string): Call => ({
  name: command,
  kind: 'client',
  attributes: { 'db.system.name': 'redis', 'db.operation.name': command },
});

/** One attempt, counted from 1, at a background job. */
export const jobCall = (kind: string, attempt: number): Call => ({
  name: `process ${kind}`,
  kind: 'consumer',
  attributes: {
    'messaging.system': 'jobs',
    'messaging.operation.type': 'process',
    'messaging.operation.name': 'process',
    'messaging.destination.name': kind,
    'job.attempt': attempt,
  },
});

/** Runs `work` in a span of its own; without a tracer, just runs it. What is thrown marks the span and passes on. */
export function traced<T>(
  tracer: Tracer | undefined, parent: TraceParent | undefined, call: Call, work: (span: Span | undefined) => Maybe<T>,
): Maybe<T> {
  if (tracer === undefined) return work(undefined);
  const span = tracer.startSpan(call.name, call.kind, parent, { ...call.attributes });

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
    result = work(span);
  } catch (error) {
    return failed(error);
  }
  return result instanceof Promise ? result.then(done, failed) : done(result);
}

/** An error's code where it has one (`ECONNREFUSED`, `unavailable`), else its class. */
function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : error.name;
}
