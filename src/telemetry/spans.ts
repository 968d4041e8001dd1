import type { Attributes, SpanKind } from './otlp_json.ts';
import { usualMethods } from './server_metrics.ts';
import type { Span, Tracer } from './trace.ts';
import type { TraceParent } from './trace_context.ts';

/** What a span is called and says, by OpenTelemetry's semantic conventions (HTTP and database: the stable ones). */
export interface Call {
  name: string;
  kind: SpanKind;
  attributes: Attributes;
}

/** What is known of a request before it is routed, and told: its path may hold a secret that somebody put there. */
export interface IncomingRequest {
  readonly method: string;
  readonly ip: string;
  readonly userAgent: string | undefined;
}

/** The span of a request; `endRequest` ends it. */
export function startRequest(tracer: Tracer, incoming: IncomingRequest, parent: TraceParent | undefined): Span {
  const method = usualMethods.has(incoming.method) ? incoming.method : '_OTHER';
  return tracer.startSpan(method === '_OTHER' ? 'HTTP' : method, 'server', parent, {
    'http.request.method': method,
    'url.scheme': 'http',
    'client.address': incoming.ip,
    'user_agent.original': incoming.userAgent,
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

/** An error's code where it has one (`ECONNREFUSED`, `unavailable`), else its class. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : error.name;
}
