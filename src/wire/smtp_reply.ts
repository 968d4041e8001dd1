/** What a server answers: its code, 200 to 599, and the text of each line, bytes as Latin-1. At least one line. */
export interface Reply {
  code: number;
  lines: string[];
}

/** RFC 5321 §4.5.3.1.5 has 512 octets a line; a few servers need more. */
const MAX_LINE_BYTES = 2048;
const MAX_LINES = 128;

/**
 * Cuts what a server sends into replies (RFC 5321 §4.2.1). Strict: CRLF ends a line, every line of a reply has the
 * same code, no control character but tab. At most one whole reply waits to be taken: whoever sends more is out of
 * step. Breaking a rule or a bound is an Error, after which the reader is of no further use.
 */
export class ReplyReader {
  #partial = Buffer.alloc(0);
  #lines: string[] = [];
  #code: number | undefined;
  #reply: Reply | undefined;

  /** Nothing read that was not taken, not even part of a line. */
  get isEmpty(): boolean {
    return this.#partial.length === 0 && this.#code === undefined && this.#reply === undefined;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
      this.#extend(rest.subarray(0, end + 1));
      const line = this.#partial.toString('latin1');
      this.#partial = Buffer.alloc(0);
      this.#addLine(line);
      rest = rest.subarray(end + 1);
    }
    this.#extend(rest);
  }

  take(): Reply | undefined {
    const reply = this.#reply;
    this.#reply = undefined;
    return reply;
  }

  #extend(bytes: Buffer): void {
    if (this.#partial.length + bytes.length > MAX_LINE_BYTES) throw new Error('a line of the reply is too long');
    this.#partial = Buffer.concat([this.#partial, bytes]);
  }

  #addLine(line: string): void {
    const parts = /^([2-5]\d\d)(?:([ -])([\t\x20-\x7e\x80-\xff]*))?\r\n$/.exec(line);
    if (parts === null) throw new Error('a line of the reply is malformed');
    if (this.#reply !== undefined) throw new Error('there is more than one reply');
    const code = Number(parts[1]);
    if (this.#code !== undefined && this.#code !== code) throw new Error('the lines of the reply have several codes');
    if (this.#lines.length === MAX_LINES) throw new Error('the reply has too many lines');
    this.#code = code;
    this.#lines.push(parts[3] ?? '');
    if (parts[2] === '-') return;
    this.#reply = { code, lines: this.#lines };
    this.#code = undefined;
    this.#lines = [];
  }
}
