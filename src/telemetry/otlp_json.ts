/** opentelemetry/proto/trace/v1/trace.proto, Span.SpanKind and Status.StatusCode: those that there are here. */
const kindNumbers = { server: 2, client: 3, consumer: 5 } as const;
const statusNumbers = { unset: 0, error: 2 } as const;

export type SpanKind = keyof typeof kindNumbers;
export type SpanStatus = keyof typeof statusNumbers;
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

/** UTF-16 units of a name or an attribute. */
const MAX_TEXT = 1_024;

/** Nanoseconds since 1970 as decimal digits: more than a double can hold. */
function toUnixNano(ms: number): string {
  const whole = Math.floor(ms);
  return `${whole}${String(Math.floor((ms - whole) * 1e6)).padStart(6, '0')}`;
}

const toText = (text: string): string => text.slice(0, MAX_TEXT).toWellFormed();

function toValue(value: string | number | boolean): object {
  if (typeof value === 'string') return { stringValue: toText(value) };
  if (typeof value === 'boolean') return { boolValue: value };
  // In JSON a 64-bit integer is a string (ProtoJSON).
  if (Number.isSafeInteger(value)) return { intValue: String(value) };
  return { doubleValue: Number.isFinite(value) ? value : String(value) };
}

const toAttributes = (attributes: Attributes): object[] =>
  Object.entries(attributes).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: toValue(value) }]));

const toSpan = (span: FinishedSpan): object => ({
  traceId: span.traceId,
  spanId: span.spanId,
  ...(span.tracestate !== undefined && { traceState: span.tracestate }),
  ...(span.parentSpanId !== undefined && { parentSpanId: span.parentSpanId }),
  name: toText(span.name),
  kind: kindNumbers[span.kind],
  startTimeUnixNano: toUnixNano(span.startMs),
  endTimeUnixNano: toUnixNano(span.endMs),
  attributes: toAttributes(span.attributes),
  status: { code: statusNumbers[span.status] },
});

/** An ExportTraceServiceRequest in OTLP's JSON (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"). */
export function toExportRequest(
  spans: readonly FinishedSpan[], service: { serviceName: string; serviceVersion?: string },
): string {
  const { serviceName, serviceVersion } = service;
  const resource = toAttributes({ 'service.name': serviceName, 'service.version': serviceVersion });
  const scopeSpans = [{ scope: { name: serviceName }, spans: spans.map(toSpan) }];
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: resource }, scopeSpans }] });
}
