import { openExporter } from './otlp.ts';
import type { ExporterOptions } from './otlp.ts';
import type { Attributes, SpanKind, SpanStatus } from './otlp_json.ts';
import { createIds } from './trace_context.ts';
import type { TraceParent } from './trace_context.ts';

/** Something that takes time; the parent of what happens within it. */
export interface Span extends TraceParent {
  /** What a server's span is called once the route is known. */
  name: string;
  set(attributes: Attributes): void;
  readonly ended: boolean;
  /** Hands the span to the exporter; a second call does nothing. */
  end(status?: SpanStatus): void;
}

export interface Tracer {
  /**
   * Without a parent a new trace begins, and is sampled. A span whose parent is not sampled, and all within it, are
   * never exported.
   */
  startSpan(name: string, kind: SpanKind, parent: TraceParent | undefined, attributes?: Attributes): Span;
  /** Spans that were thrown away because the collector did not take them in time. */
  readonly dropped: number;
  /** Sends what is waiting, for `closeMs` at most; what is left then is dropped. */
  close(): Promise<void>;
}

export interface TracerOptions extends ExporterOptions {
  /** Wall time in milliseconds; fractions are kept. */
  now: () => number;
}

/** A tracer that exports in the background. Where no collector is configured, there is none: callers hold undefined. */
export function createTracer(options: TracerOptions): Tracer {
  const { now } = options;
  const ids = createIds();
  const exporter = openExporter(options);

  function startSpan(name: string, kind: SpanKind, parent?: TraceParent, attributes: Attributes = {}): Span {
    const startMs = now();
    let ended = false;
    const span: Span = {
      traceId: parent?.traceId ?? ids.traceId(),
      spanId: ids.spanId(),
      sampled: parent?.sampled ?? true,
      tracestate: parent?.tracestate,
      name,
      get ended() {
        return ended;
      },
      set(more) {
        if (span.sampled) Object.assign(attributes, more);
      },
      end(status = 'unset') {
        if (ended) return;
        ended = true;
        if (!span.sampled) return;
        const { traceId, spanId, tracestate } = span;
        const endMs = Math.max(startMs, now());
        exporter.add({
          traceId, spanId, parentSpanId: parent?.spanId, tracestate, name: span.name, kind, status, startMs, endMs,
          attributes,
        });
      },
    };
    return span;
  }

  return {
    startSpan,
    get dropped() {
      return exporter.dropped;
    },
    close: () => exporter.close(),
  };
}
