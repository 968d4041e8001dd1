export type Level = 'debug' | 'info' | 'warn' | 'error';

/** What is written of every request. */
export interface RequestLine {
  requestId: string;
  traceId?: string | undefined;
  method: string;
  /** The template that matched (`/users/{id}`), never the path; '' when none did. */
  route: string;
  status: number;
  durationMs: number;
  ip: string;
  userId?: string | undefined;
}

/** What goes beside a log line's message. Names are snake_case, as they are written. */
export type Fields = Record<string, unknown>;

/** What a field may look like once it is safe to write: JSON, cut to size, nothing secret. */
export type Plain = string | number | boolean | null | Plain[] | { [name: string]: Plain };

/** In UTF-16 units: one text, one stack, all texts and names of one line together. */
const MAX_TEXT = 2_048;
const MAX_STACK = 4_096;
const MAX_LINE = 16_384;
/** What a value takes of the line beside its text. */
const VALUE_ROOM = 8;
/** Members of one object or array, and how deep these may nest. */
const MAX_MEMBERS = 32;
const MAX_DEPTH = 4;
const MAX_CAUSES = 4;

const SECRET_NAME = /pass(word|wd|phrase)|secret|token|authorization|cookie|credential|api_?key|private_?key/i;

/** At most `limit` UTF-16 units of a text, with a mark where something is missing. */
export const cut = (text: string, limit = MAX_TEXT): string =>
  text.length <= limit ? text : `${text.slice(0, limit)}…`;

/** An object's entries as plain values; whatever has a secret's name is `[redacted]`. Never throws. */
export function toPlainFields(fields: Fields): [string, Plain][] {
  let room = MAX_LINE;

  function text(value: string, max = MAX_TEXT): string {
    const limit = Math.min(max, room);
    room -= Math.min(value.length, limit);
    return cut(value, limit);
  }

  function members(value: object, depth: number): [string, Plain][] {
    const list: [string, Plain][] = [];
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue;
      if (list.length === MAX_MEMBERS) {
        list.push(['…', true]);
        break;
      }
      list.push([text(name), SECRET_NAME.test(name) ? '[redacted]' : safely(member, depth)]);
    }
    return list;
  }

  function fromError(error: Error, depth: number, causes: number): Plain {
    const { code, stack, cause } = error as Error & { code?: unknown };
    // V8 puts name and message before the frames; they are here already, and a long message would push the frames out.
    const frames = typeof stack === 'string' ? stack.slice(Math.max(0, stack.indexOf('\n    at ') + 1)) : '';
    const plain: { [name: string]: Plain } = { name: text(String(error.name)), message: text(String(error.message)) };
    if (typeof code === 'string' || typeof code === 'number') plain['code'] = text(String(code));
    if (frames !== '') plain['stack'] = text(frames.replace(/^ +/gm, ''), MAX_STACK);
    if (error instanceof AggregateError && depth < MAX_DEPTH) plain['errors'] = safely(error.errors, depth + 1);
    if (cause !== undefined && causes < MAX_CAUSES) {
      plain['cause'] = cause instanceof Error ? fromError(cause, depth, causes + 1) : safely(cause, depth + 1);
    }
    return plain;
  }

  function toPlain(value: unknown, depth: number): Plain {
    if (room === 0) return '…';
    room = Math.max(0, room - VALUE_ROOM);
    if (typeof value === 'string') return text(value);
    if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
    if (typeof value === 'boolean' || value === null) return value;
    if (typeof value === 'bigint') return text(String(value));
    if (typeof value !== 'object') return `[${typeof value}]`;
    if (value instanceof Error) return fromError(value, depth, 0);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? '[invalid date]' : value.toISOString();
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (depth === MAX_DEPTH) return '[too deep]';
    if (Array.isArray(value)) return value.slice(0, MAX_MEMBERS).map((member) => safely(member, depth + 1));
    return Object.fromEntries(members(value, depth + 1));
  }

  function safely(value: unknown, depth: number): Plain {
    try {
      return toPlain(value, depth);
    } catch {
      // A getter or a proxy that throws must not cost the line that mentions it.
      return '[unreadable]';
    }
  }

  try {
    return members(fields, 0);
  } catch {
    return [['fields', '[unreadable]']];
  }
}
