import { cut, toPlainFields } from './fields.ts';
import type { Fields, Level, RequestLine } from './fields.ts';
import { createRequestLines, jsonLine } from './json_line.ts';
import { prettyLine, prettyRequest } from './pretty_line.ts';
import type { Sink } from './sink.ts';

export type { Fields, Level, RequestLine } from './fields.ts';

export const levels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly Level[];

/**
 * The server's log. Lines are collected and written together, off the request's path. Whatever is in a message or a
 * field, a line stays one line (in pretty format a text of several and an error add indented ones), is bounded in
 * length, and holds no control character; a field with a secret's name is written as `[redacted]`.
 */
export interface Log {
  debug(msg: string, fields?: Fields): void;
  info(msg: string, fields?: Fields): void;
  warn(msg: string, fields?: Fields): void;
  error(msg: string, fields?: Fields): void;
  /** Written at level info whatever `level` is: where the server listens, and what was asked to be sent to the log. */
  announce(msg: string, fields?: Fields): void;
  /** Something an auditor looks for (`auth.login`), with who and from where in `fields`; `level` defaults to info. */
  event(event: string, fields: Fields, level?: Level): void;
  /** Whole lines that the log of another thread has composed, in UTF-8. */
  relay(lines: Uint8Array): void;
  /** At level info, from status 500 on at level error. */
  request(line: RequestLine): void;
  /** The lowest level that is written; may be set while the server runs. */
  level: Level;
  /** Writes what has been collected before it returns: for exit and crash. */
  flush(): void;
  /** Flushes; what is logged afterwards is written at once, so that last words are not lost. */
  close(): void;
}

export interface LogOptions {
  level: Level;
  format: 'json' | 'pretty';
  /** Pretty format only. */
  color: boolean;
  /** Wall time in milliseconds. */
  now: () => number;
  sink: Sink;
  /** Runs `write` soon, without keeping the process alive for it; 50 ms when left out. */
  schedule?: (write: () => void) => void;
}

/** What may be collected before it is written without waiting for the timer. */
const BATCH_BYTES = 64 * 1024;
const BATCH_MS = 50;
/** Of UTF-8, for a UTF-16 unit. */
const MAX_UNIT_BYTES = 3;
const LINE_FEED = 0x0a;

const soon = (write: () => void): void => void setTimeout(write, BATCH_MS).unref();

export function createLog({ level, format, color, now, sink, schedule = soon }: LogOptions): Log {
  const pretty = format === 'pretty';
  const timestamp = createTimestamp();
  let threshold = levels.indexOf(level);
  const jsonRequest = createRequestLines();
  // Lines wait as bytes: a text of many parts is cheapest to copy while it is new, and leaves nothing to be collected.
  const batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let used = 0;
  let lost = 0;
  let scheduled = false;
  let closed = false;

  function give(lines: Uint8Array): void {
    const report = lost === 0 ? '' : compose('warn', 'log lines were lost: nobody read them', undefined, { lost });
    if (sink.write(report === '' ? lines : Buffer.concat([Buffer.from(report), lines]))) lost = 0;
    else lost += lines.reduce((count, byte) => count + (byte === LINE_FEED ? 1 : 0), 0);
  }

  function handOver(): void {
    scheduled = false;
    if (used > 0) give(batch.subarray(0, used));
    used = 0;
  }

  function add(line: string): void {
    const most = line.length * MAX_UNIT_BYTES;
    if (used + most > BATCH_BYTES) handOver();
    if (most > BATCH_BYTES) give(Buffer.from(line));
    else used += batch.write(line, used);
    if (closed) flush();
    else if (!scheduled) {
      scheduled = true;
      schedule(handOver);
    }
  }

  function flush(): void {
    handOver();
    sink.flushSync();
  }

  function compose(at: Level, msg: string, event: string | undefined, fields: Fields | undefined): string {
    const time = timestamp(now());
    const text = cut(msg);
    const plain = fields === undefined ? [] : toPlainFields(fields);
    return pretty ? prettyLine(time, at, text, event, plain, color) : jsonLine(time, at, text, event, plain);
  }

  const writerAt = (at: Level) => (msg: string, fields?: Fields): void => {
    if (levels.indexOf(at) >= threshold) add(compose(at, msg, undefined, fields));
  };

  return {
    debug: writerAt('debug'),
    info: writerAt('info'),
    warn: writerAt('warn'),
    error: writerAt('error'),
    announce: (msg, fields) => add(compose('info', msg, undefined, fields)),
    event(event, fields, at = 'info') {
      if (levels.indexOf(at) >= threshold) add(compose(at, event, event, fields));
    },
    relay(lines) {
      handOver();
      give(lines);
      if (closed) flush();
    },
    request(line) {
      const at = line.status >= 500 ? 'error' : 'info';
      if (levels.indexOf(at) < threshold) return;
      const time = timestamp(now());
      add(pretty ? prettyRequest(time, at, line, color) : jsonRequest(time, at, line));
    },
    get level() {
      return levels[threshold] as Level;
    },
    set level(wanted) {
      threshold = levels.indexOf(wanted);
    },
    flush,
    close() {
      flush();
      closed = true;
    },
  };
}

/** RFC 3339 in UTC with milliseconds. Within one second only three digits change, within one millisecond nothing. */
function createTimestamp(): (ms: number) => string {
  let second = NaN;
  let prefix = '';
  let lastMs = NaN;
  let last = '';
  return (ms) => {
    const whole = Math.floor(ms);
    if (whole === lastMs) return last;
    const thisSecond = Math.floor(whole / 1000);
    if (thisSecond !== second) {
      second = thisSecond;
      prefix = new Date(thisSecond * 1000).toISOString().slice(0, 20);
    }
    lastMs = whole;
    last = `${prefix}${String(whole - thisSecond * 1000).padStart(3, '0')}Z`;
    return last;
  };
}
