/** An error reply. `code` is its first word: `NOSCRIPT`, `READONLY`, `ERR`, … */
export class RedisError extends Error {
  readonly code: string;

  constructor(message: string) {
    super(message);
    this.name = 'RedisError';
    this.code = /^[A-Z]+/.exec(message)?.[0] ?? 'ERR';
  }
}

/**
 * What a server answers. Null is undefined; an integer beyond ±(2^53 − 1) is a bigint; a set is an array; an error
 * inside an array is a value there.
 */
export type Reply = string | number | bigint | boolean | undefined | RedisError | Reply[] | Map<Reply, Reply>;

/** A command as an array of bulk strings, in UTF-8. */
export function toCommand(args: readonly string[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
  return text;
}

/** Longest line in bytes: numbers, lengths, simple strings and errors. */
const MAX_LINE = 4096;
/** Redis itself nests no deeper than 7. */
const MAX_DEPTH = 16;
/** No element takes fewer bytes than `_\r\n`. */
const MIN_ELEMENT = 3;

const CR = 13;
const LF = 10;
const empty = Buffer.alloc(0);

/** An aggregate of which `missing` elements have not come yet. */
interface Frame {
  type: string;
  items: Reply[];
  missing: number;
}

/**
 * Reads replies of RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec) out of a stream cut
 * anywhere, and hands each one on when its last byte has come. Pushes and attributes are nobody's answer: they are
 * read and forgotten. Streamed types (`$?`), which no Redis sends, are refused.
 *
 * `feed` throws at what is no RESP, and at a length that would make the reply longer than `maxBytes`, as soon as it is
 * declared. The stream cannot be read on after that.
 */
export class RespParser {
  readonly #maxBytes: number;
  readonly #onReply: (reply: Reply) => void;
  /** Received, not read yet: never more than one line or one bulk string, and the chunk that completes it. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Reading on makes no sense with fewer bytes than this. */
  #needed = 1;
  #bytes: Buffer = empty;
  #at = 0;
  /** The bulk string whose header has been read. */
  #bulk: { type: string; length: number } | undefined;
  #frames: Frame[] = [];
  /** Bytes of the present reply that have been read. */
  #read = 0;

  constructor({ maxBytes, onReply }: { maxBytes: number; onReply: (reply: Reply) => void }) {
    this.#maxBytes = maxBytes;
    this.#onReply = onReply;
  }

  feed(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes < this.#needed) return;
    this.#bytes = this.#waiting.length === 1 ? chunk : Buffer.concat(this.#waiting, this.#waitingBytes);
    this.#at = 0;
    while (this.#at < this.#bytes.length && (this.#bulk === undefined ? this.#line() : this.#bulkString()));
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes = empty;
    this.#waiting = rest.length === 0 ? [] : [rest];
    this.#waitingBytes = rest.length;
    this.#needed = this.#bulk === undefined ? 1 : this.#bulk.length + 2;
  }

  /** Reads one line; false when its end has not come yet. */
  #line(): boolean {
    const bytes = this.#bytes;
    const start = this.#at;
    let end = start;
    while (end < bytes.length && bytes[end] !== CR && bytes[end] !== LF) end++;
    if (end - start > MAX_LINE) throw new Error('a line is too long');
    if (end === bytes.length || (end === bytes.length - 1 && bytes[end] === CR)) return false;
    if (bytes[end] !== CR || bytes[end + 1] !== LF) throw new Error('a line does not end in CRLF');
    this.#advance(end + 2);
    this.#header(String.fromCharCode(bytes[start]!), start + 1, end);
    return true;
  }

  #header(type: string, from: number, to: number): void {
    switch (type) {
      case ':':
        return this.#value(integer(this.#bytes, from, to));
      case '$':
      case '=':
      case '!':
        return this.#open(type, length(this.#bytes, from, to), 1);
      case '*':
      case '~':
      case '>':
        return this.#open(type, length(this.#bytes, from, to), MIN_ELEMENT);
      case '%':
      case '|':
        return this.#open(type, 2 * length(this.#bytes, from, to), MIN_ELEMENT);
    }
    const text = this.#bytes.toString('utf8', from, to);
    switch (type) {
      case '+':
        return this.#value(text);
      case '-':
        return this.#value(new RedisError(text));
      case '_':
        matching(/^$/, text);
        return this.#value(undefined);
      case '#':
        return this.#value(matching(/^[tf]$/, text) === 't');
      case '(':
        return this.#value(BigInt(matching(/^[+-]?\d+$/, text).replace('+', '')));
      case ',':
        return this.#value(double(text));
    }
    throw new Error('an unknown type of reply');
  }

  /** Begins a bulk string or an aggregate of `count` bytes or elements, of at least `size` bytes each. */
  #open(type: string, count: number, size: number): void {
    if (count < 0) {
      if (count !== -1 || (type !== '$' && type !== '*')) throw new Error('a length is negative');
      return this.#value(undefined);
    }
    if (this.#read + count * size > this.#maxBytes) throw new Error('a reply is too long');
    if (size === 1) {
      this.#bulk = { type, length: count };
      return;
    }
    if (type === '>' && this.#frames.length > 0) throw new Error('a push inside a reply');
    if (this.#frames.length === MAX_DEPTH) throw new Error('a reply is nested too deeply');
    this.#frames.push({ type, items: [], missing: count });
    if (count === 0) this.#close();
  }

  #bulkString(): boolean {
    const { type, length } = this.#bulk!;
    const start = this.#at;
    const end = start + length;
    if (this.#bytes.length < end + 2) return false;
    if (this.#bytes[end] !== CR || this.#bytes[end + 1] !== LF) throw new Error('a string does not end in CRLF');
    this.#bulk = undefined;
    this.#advance(end + 2);
    const text = this.#bytes.toString('utf8', start, end);
    if (type === '!') this.#value(new RedisError(text));
    else if (type === '=') this.#value(matching(/^[^]{3}:/, text).slice(4));
    else this.#value(text);
    return true;
  }

  #advance(to: number): void {
    this.#read += to - this.#at;
    this.#at = to;
    if (this.#read > this.#maxBytes) throw new Error('a reply is too long');
  }

  #value(value: Reply): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) {
      this.#read = 0;
      this.#onReply(value);
      return;
    }
    frame.items.push(value);
    frame.missing--;
    if (frame.missing === 0) this.#close();
  }

  #close(): void {
    const { type, items } = this.#frames.pop()!;
    if (type === '|') return;
    if (type === '>') this.#read = 0;
    else this.#value(type === '%' ? toMap(items) : items);
  }
}

function integer(bytes: Buffer, from: number, to: number): number | bigint {
  const first = bytes[from];
  const start = first === 0x2b || first === 0x2d ? from + 1 : from;
  if (start === to || to - start > 19) throw new Error('not an integer');
  let value = 0;
  for (let i = start; i < to; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) throw new Error('not an integer');
    value = value * 10 + digit;
  }
  if (value > Number.MAX_SAFE_INTEGER) {
    const exact = BigInt(bytes.toString('latin1', start, to));
    return first === 0x2d ? -exact : exact;
  }
  return first === 0x2d ? 0 - value : value;
}

const length = (bytes: Buffer, from: number, to: number): number => Number(integer(bytes, from, to));

function matching(pattern: RegExp, text: string): string {
  if (!pattern.test(text)) throw new Error('a value is malformed');
  return text;
}

function double(text: string): number {
  if (text === 'inf' || text === '-inf') return text === 'inf' ? Infinity : -Infinity;
  if (text === 'nan') return NaN;
  return Number(matching(/^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$/, text));
}

function toMap(items: readonly Reply[]): Map<Reply, Reply> {
  const map = new Map<Reply, Reply>();
  for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  return map;
}
