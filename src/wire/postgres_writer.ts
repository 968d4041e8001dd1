import type { Field } from './postgres_messages.ts';

const INITIAL_SIZE = 4096;
const MAX_SIZE = 16 * 1024 * 1024;

/** The 8 bytes that ask for TLS, before anything else. */
export const sslRequest: Buffer = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Puts messages one after the other into one buffer, so that a pipelined batch is one write. `take` hands the bytes
 * over and starts anew **in the same buffer**: the next batch may be begun only when the server has answered this
 * one's Sync, for then it has read all of it. Error: a batch over 16 MiB, or a text that holds a NUL where the
 * protocol ends texts with one.
 */
export class MessageWriter {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_SIZE);
  #end = 0;

  startup(parameters: Readonly<Record<string, string>>): this {
    const start = this.#end;
    this.#reserve(8);
    this.#end += 4;
    this.#int32(196_608); // Version 3.0 of the protocol.
    for (const [name, value] of Object.entries(parameters)) {
      this.#cstring(name);
      this.#cstring(value);
    }
    this.#byte(0);
    return this.#finish(start);
  }

  /** PasswordMessage: the password itself. */
  password(text: string): this {
    const start = this.#begin(0x70); // p
    this.#cstring(text);
    return this.#finish(start);
  }

  saslInitial(mechanism: string, response: string): this {
    const start = this.#begin(0x70); // p
    this.#cstring(mechanism);
    this.#sized(response);
    return this.#finish(start);
  }

  saslResponse(response: string): this {
    const start = this.#begin(0x70); // p
    this.#text(response);
    return this.#finish(start);
  }

  /** A simple query: any number of statements, separated by semicolons. */
  query(sql: string): this {
    const start = this.#begin(0x51); // Q
    this.#cstring(sql);
    return this.#finish(start);
  }

  /** Parse, with all types left to the server, and Describe. */
  parse(name: string, sql: string): this {
    const start = this.#begin(0x50); // P
    this.#cstring(name);
    this.#cstring(sql);
    this.#int16(0);
    this.#finish(start);
    const describe = this.#begin(0x44); // D
    this.#byte(0x53); // S: a statement, not a portal.
    this.#cstring(name);
    return this.#finish(describe);
  }

  /** Bind, everything as text, and Execute. Error: a number that is not a safe integer. */
  execute(name: string, params: readonly Field[]): this {
    const start = this.#begin(0x42); // B
    this.#byte(0);
    this.#cstring(name);
    this.#int16(0);
    this.#int16(params.length);
    for (const value of params) {
      if (value === null) this.#int32(-1);
      else if (typeof value === 'string') this.#sized(value);
      else if (Number.isSafeInteger(value)) this.#sized(String(value));
      else throw new Error('A number given to the database must be a safe integer.');
    }
    this.#int16(0);
    this.#finish(start);
    const execute = this.#begin(0x45); // E
    this.#byte(0);
    this.#int32(0);
    return this.#finish(execute);
  }

  sync(): this {
    return this.#finish(this.#begin(0x53)); // S
  }

  terminate(): this {
    return this.#finish(this.#begin(0x58)); // X
  }

  take(): Buffer {
    const bytes = this.#buffer.subarray(0, this.#end);
    if (this.#buffer.length > 16 * INITIAL_SIZE) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_SIZE);
    this.#end = 0;
    return bytes;
  }

  #begin(type: number): number {
    this.#byte(type);
    const start = this.#end;
    this.#int32(0);
    return start;
  }

  #finish(start: number): this {
    this.#buffer.writeInt32BE(this.#end - start, start);
    return this;
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#buffer.length) return;
    if (needed > MAX_SIZE) throw new Error('A batch of statements is larger than 16 MiB.');
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#end] = value;
    this.#end += 1;
  }

  #int16(value: number): void {
    this.#reserve(2);
    this.#end = this.#buffer.writeUInt16BE(value, this.#end);
  }

  #int32(value: number): void {
    this.#reserve(4);
    this.#end = this.#buffer.writeInt32BE(value, this.#end);
  }

  #text(text: string): void {
    this.#reserve(3 * text.length);
    this.#end += this.#buffer.write(text, this.#end);
  }

  #cstring(text: string): void {
    if (text.includes('\0')) throw new Error('A NUL in a statement, or in a user, password or database name.');
    this.#text(text);
    this.#byte(0);
  }

  #sized(text: string): void {
    this.#reserve(4 + 3 * text.length);
    const start = this.#end;
    this.#end += 4;
    this.#text(text);
    this.#buffer.writeInt32BE(this.#end - start - 4, start);
  }
}
