import { PostgresError } from './postgres_errors.ts';

/** What a parameter or a column can hold here. */
export type Field = string | number | null;

/**
 * What a server's message is about, by its first byte.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export const message = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  commandComplete: 0x43, // C
  dataRow: 0x44, // D
  emptyQuery: 0x49, // I
  error: 0x45, // E
  noData: 0x6e, // n
  notice: 0x4e, // N
  notification: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  ready: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** The longest message that a server may declare: while it has not let us in, and after. */
const MAX_STARTUP_LENGTH = 65_536;
const MAX_LENGTH = 16 * 1024 * 1024;

export type OnMessage = (type: number, buffer: Buffer, start: number, end: number) => void;

/**
 * Cuts a stream of bytes into messages, however it was cut before: `onMessage` gets each one's type and where its
 * body lies in `buffer`, valid during the call. Bytes of an unfinished message are held, up to the length it declares.
 * Error: an unknown type or a length out of bounds, known from the first five bytes.
 */
export class Frames {
  /** Set once the server has let us in: long messages are accepted from then on. */
  trusted = false;
  #held: Buffer[] = [];
  #size = 0;
  #needed = 5;

  push(chunk: Buffer, onMessage: OnMessage): void {
    let buffer = chunk;
    if (this.#size > 0) {
      this.#held.push(chunk);
      this.#size += chunk.length;
      if (this.#size < this.#needed) return;
      buffer = Buffer.concat(this.#held, this.#size);
      this.#held = [];
      this.#size = 0;
    }
    let at = 0;
    this.#needed = 5;
    while (buffer.length - at >= 5) {
      const type = buffer[at] as number;
      const length = buffer.readInt32BE(at + 1);
      if (!known.has(type)) throw new Error('The server sent what is no message of the PostgreSQL protocol.');
      if (length < 4 || length > (this.trusted ? MAX_LENGTH : MAX_STARTUP_LENGTH)) {
        throw new Error(`The server declared a message of ${length} bytes.`);
      }
      const end = at + 1 + length;
      if (end > buffer.length) {
        this.#needed = 1 + length;
        break;
      }
      onMessage(type, buffer, at + 5, end);
      at = end;
    }
    if (at === buffer.length) return;
    this.#held = [buffer.subarray(at)];
    this.#size = buffer.length - at;
  }
}

const known: ReadonlySet<number> = new Set(Object.values(message));

/** By their OIDs (pg_type.dat): text, varchar, name, "char", unknown; int8, int2, int4. */
const textTypes: ReadonlySet<number> = new Set([25, 1043, 19, 18, 705]);
const integerTypes: ReadonlySet<number> = new Set([20, 21, 23]);

/** How a column is read: text as it stands, int2, int4 and int8 as numbers. */
export type Kind = 'text' | 'integer';

/** The kinds of the columns of a RowDescription. Error: a type that is not stored here, or a malformed message. */
export function readColumns(buffer: Buffer, start: number, end: number): Kind[] {
  const kinds: Kind[] = [];
  let at = start + 2;
  for (let count = buffer.readInt16BE(start); count > 0; count -= 1) {
    const nameEnd = buffer.indexOf(0, at);
    if (nameEnd < at || nameEnd + 19 > end) throw new RangeError('A RowDescription is longer than its message.');
    const type = buffer.readInt32BE(nameEnd + 7);
    if (!textTypes.has(type) && !integerTypes.has(type)) {
      const name = buffer.toString('utf8', at, nameEnd);
      throw new TypeError(`Column ${name} has type ${type}; text and integers are read here, so cast it to one.`);
    }
    kinds.push(integerTypes.has(type) ? 'integer' : 'text');
    at = nameEnd + 19;
  }
  return kinds;
}

function readInteger(buffer: Buffer, start: number, end: number): number {
  const negative = buffer[start] === 0x2d;
  let value = 0;
  for (let at = negative ? start + 1 : start; at < end; at += 1) value = value * 10 + ((buffer[at] as number) - 0x30);
  if (value > Number.MAX_SAFE_INTEGER) throw new TypeError('An integer beyond 2^53 cannot be read exactly.');
  return negative ? -value : value;
}

/** A DataRow. RangeError: malformed. TypeError: an integer beyond 2^53. */
export function readRow(buffer: Buffer, start: number, end: number, kinds: readonly Kind[]): Field[] {
  if (buffer.readInt16BE(start) !== kinds.length) throw new RangeError('A row has not as many columns as described.');
  const row: Field[] = [];
  let at = start + 2;
  for (let index = 0; index < kinds.length; index += 1) {
    const length = buffer.readInt32BE(at);
    at += 4;
    if (length === -1) {
      row.push(null);
      continue;
    }
    if (length < 0 || at + length > end) throw new RangeError('A row is longer than its message.');
    const isText = kinds[index] === 'text';
    row.push(isText ? buffer.toString('utf8', at, at + length) : readInteger(buffer, at, at + length));
    at += length;
  }
  return row;
}

/** How many rows a CommandComplete says were changed: the number in `INSERT 0 n`, `UPDATE n`, `DELETE n`; else 0. */
export function readChanges(buffer: Buffer, start: number, end: number): number {
  const first = buffer[start];
  // I(NSERT), U(PDATE), D and L of DELETE, which tell them from DECLARE and DROP.
  if (first !== 0x49 && first !== 0x55 && (first !== 0x44 || buffer[start + 2] !== 0x4c)) return 0;
  return readInteger(buffer, buffer.lastIndexOf(0x20, end - 1) + 1, end - 1);
}

/** An ErrorResponse, and whether the server ends the connection with it. */
export function readError(buffer: Buffer, start: number, end: number): { error: PostgresError; fatal: boolean } {
  const fields = new Map<string, string>();
  for (const field of buffer.toString('utf8', start, end).split('\0')) fields.set(field.slice(0, 1), field.slice(1));
  const error = new PostgresError(fields.get('M') ?? 'The server refused, without saying why', {
    sqlstate: fields.get('C') ?? 'XX000',
    constraint: fields.get('n'),
  });
  const severity = fields.get('V') ?? fields.get('S');
  return { error, fatal: severity === 'FATAL' || severity === 'PANIC' };
}
