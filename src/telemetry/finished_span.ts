export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';
export type SpanStatus = 'unset' | 'ok' | 'error';
/** By OpenTelemetry's names; an undefined one is left out. */
export type Attributes = Record<string, string | number | boolean | undefined>;

/** What an exporter needs of a span that has ended. */
export interface FinishedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  tracestate: string | undefined;
  name: string;
  kind: SpanKind;
  status: SpanStatus;
  /** Wall time in milliseconds, with fractions. */
  startMs: number;
  endMs: number;
  attributes: Attributes;
}
