import type { Log } from './log.ts';
import { toExportRequest } from './otlp_json.ts';
import type { FinishedSpan } from './otlp_json.ts';

export interface ExporterOptions {
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`: spans go to `/v1/traces` below it. */
  endpoint: string;
  serviceName: string;
  serviceVersion?: string;
  /** Told once when the collector goes away, and once when it is back. */
  log: Pick<Log, 'info' | 'warn'>;
  /** How long spans may wait for company; 5,000. */
  batchMs?: number;
  /** What one request may take; 10,000. */
  timeoutMs?: number;
  /** What `close` may take; 2,000. */
  closeMs?: number;
}

export interface Exporter {
  /** Never waits: when too many spans wait already, this one is dropped and counted. */
  add(span: FinishedSpan): void;
  readonly dropped: number;
  close(): Promise<void>;
}

const MAX_BATCH = 512;
const MAX_WAITING = 2_048;
/** After a failure nothing is tried for a while: twice as long after each, up to a minute. */
const LONGEST_PAUSE_MS = 60_000;

/**
 * Sends spans to an OpenTelemetry collector (OTLP 1.x, HTTP with JSON bodies), one request at a time. A batch that the
 * collector refuses or that gets lost is dropped and counted, not sent again; nobody ever waits for the collector.
 */
export function openExporter(options: ExporterOptions): Exporter {
  const { endpoint, log, batchMs = 5_000, timeoutMs = 10_000, closeMs = 2_000 } = options;
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  let waiting: FinishedSpan[] = [];
  let dropped = 0;
  let away = false;
  let pauseMs = batchMs;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  const closing = new AbortController();
  let closed = false;

  /** Why the batch was not taken, or undefined when it was. */
  async function post(batch: FinishedSpan[]): Promise<string | undefined> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: toExportRequest(batch, options),
        redirect: 'error',
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), closing.signal]),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `status ${response.status}`;
    } catch (error) {
      const { message, cause } = error as Error;
      return cause instanceof Error ? `${message}: ${cause.message}` : message;
    }
  }

  async function send(): Promise<void> {
    const batch = waiting.slice(0, MAX_BATCH);
    waiting = waiting.slice(MAX_BATCH);
    const fault = await post(batch);
    if (fault === undefined) {
      if (away) log.info('the trace collector is back', { dropped });
      away = false;
      pauseMs = batchMs;
      return;
    }
    dropped += batch.length;
    if (!away) log.warn('the trace collector is away: spans are dropped', { reason: fault });
    else pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    away = true;
  }

  function start(): void {
    timer = undefined;
    sending = send().finally(() => {
      sending = undefined;
      arm();
    });
  }

  /** A full batch goes at once while the collector is well; otherwise time decides. */
  function arm(): void {
    if (sending !== undefined || closed || waiting.length === 0) return;
    if (!away && waiting.length >= MAX_BATCH) {
      clearTimeout(timer);
      start();
    } else timer ??= setTimeout(start, away ? pauseMs : batchMs).unref();
  }

  return {
    add(span) {
      if (waiting.length >= MAX_WAITING || closed) {
        dropped++;
        return;
      }
      waiting.push(span);
      arm();
    },
    get dropped() {
      return dropped;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      const bound = setTimeout(() => closing.abort(new Error('the server stops')), closeMs);
      await sending;
      while (waiting.length > 0 && !away) await send();
      dropped += waiting.length;
      waiting = [];
      clearTimeout(bound);
    },
  };
}
