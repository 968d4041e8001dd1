import type { Socket } from 'node:net';
import { Batch } from './postgres_batch.ts';
import type { Prepared, Result } from './postgres_batch.ts';
import { ConnectionLost, NoConnection } from './postgres_errors.ts';
import { message, readError } from './postgres_messages.ts';
import type { Field, Frames } from './postgres_messages.ts';
import { openSession } from './postgres_startup.ts';
import type { Session } from './postgres_startup.ts';
import type { PostgresAddress } from './postgres_url.ts';
import { MessageWriter } from './postgres_writer.ts';

/** One statement; `$1`, `$2`, … stand for its parameters. */
export interface Query {
  sql: string;
  params: readonly Field[];
}

/** Texts kept prepared on one connection; further ones are parsed at every use. */
const MAX_PREPARED = 256;
/** The longest answer to one batch. */
const MAX_ANSWER = 64 * 1024 * 1024;

/** Where a connection stands: outside any transaction, inside one, or inside one that has failed. */
export type TransactionStatus = 'idle' | 'open' | 'failed';

/** By the byte of ReadyForQuery: I, T, E. */
const statuses: Readonly<Record<number, TransactionStatus>> = { 0x49: 'idle', 0x54: 'open', 0x45: 'failed' };

interface Pending {
  batch: Batch;
  /** Bytes of the answer so far. */
  received: number;
  timer: NodeJS.Timeout;
  resolve: (results: Result[]) => void;
  reject: (error: Error) => void;
}

/** One connection, which does one batch at a time. */
export class Connection {
  /** Called once, when the connection has ended in whatever way. */
  onEnd: (reason: ConnectionLost) => void = () => {};
  readonly #socket: Socket;
  readonly #frames: Frames;
  readonly #writer = new MessageWriter();
  readonly #prepared = new Map<string, Prepared>();
  #named = 0;
  #pending: Pending | undefined;
  #status: TransactionStatus = 'idle';
  #ended = false;

  constructor({ socket, frames }: Session) {
    this.#socket = socket;
    this.#frames = frames;
    const onMessage = this.#onMessage.bind(this);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk, onMessage));
    socket.on('error', (cause) => this.#end(new ConnectionLost('The connection to the database broke.', { cause })));
    socket.on('close', () => this.#end(new ConnectionLost('The database closed the connection.')));
    socket.resume();
  }

  get status(): TransactionStatus {
    return this.#status;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Sends all statements at once and answers when the server has done them all: one round trip. Without an explicit
   * BEGIN they are one transaction. PostgresError: the first refusal; the statements behind it were not tried.
   * ConnectionLost: nothing is known. TypeError: a column that cannot be read, though everything was done.
   */
  run(queries: readonly Query[], timeoutMs: number): Promise<Result[]> {
    return this.#send(timeoutMs, () => {
      const statements: Prepared[] = [];
      for (const { sql, params } of queries) {
        let statement = this.#prepared.get(sql);
        if (statement === undefined) {
          statement = this.#prepare(sql);
          this.#writer.parse(statement.name, sql);
        }
        this.#writer.execute(statement.name, params);
        statements.push(statement);
      }
      this.#writer.sync();
      return new Batch(statements);
    });
  }

  /** Any number of statements in one text, without parameters and without reading rows. Errors as in `run`. */
  async script(sql: string, timeoutMs: number): Promise<void> {
    await this.#send(timeoutMs, () => {
      this.#writer.query(sql);
      return new Batch(undefined);
    });
  }

  /** Ends the connection: politely, or at once if it is in use. */
  close(): void {
    if (this.#ended) return;
    if (this.#pending === undefined) {
      this.#socket.write(this.#writer.terminate().take());
      this.#socket.destroySoon();
    }
    this.#end(new ConnectionLost('The connection to the database was closed.'));
  }

  #send(timeoutMs: number, fill: () => Batch): Promise<Result[]> {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw new ConnectionLost('The connection to the database has ended.');
      if (this.#pending !== undefined) throw new Error('A connection does one batch at a time.');
      let batch: Batch;
      try {
        batch = fill();
      } catch (error) {
        this.#writer.take();
        this.#forgetUnparsed();
        throw error;
      }
      const timer = setTimeout(() => {
        const message = `The database did not answer within ${Math.ceil(timeoutMs)} ms.`;
        this.#end(new ConnectionLost(message, { contagious: true }));
      }, Math.max(0, timeoutMs)); // Its deadline may have passed by a hair.
      this.#pending = { batch, received: 0, timer, resolve, reject };
      this.#socket.write(this.#writer.take());
    });
  }

  #prepare(sql: string): Prepared {
    const statement: Prepared = { sql, name: '', columns: undefined, fault: undefined };
    if (this.#prepared.size >= MAX_PREPARED) return statement;
    this.#named += 1;
    statement.name = `s${this.#named}`;
    this.#prepared.set(sql, statement);
    return statement;
  }

  #forgetUnparsed(): void {
    for (const { sql, columns } of this.#prepared.values()) {
      if (columns === undefined) this.#prepared.delete(sql);
    }
  }

  #onData(chunk: Buffer, onMessage: (type: number, buffer: Buffer, start: number, end: number) => void): void {
    if (this.#ended) return;
    try {
      if (this.#pending !== undefined && (this.#pending.received += chunk.length) > MAX_ANSWER) {
        throw new Error(`An answer of more than ${MAX_ANSWER} bytes.`);
      }
      this.#frames.push(chunk, onMessage);
    } catch (error) {
      if (error instanceof ConnectionLost) this.#end(error);
      else this.#end(new ConnectionLost('The database broke the protocol.', { cause: error }));
    }
  }

  #onMessage(type: number, buffer: Buffer, start: number, end: number): void {
    if (this.#ended) return;
    if (type === message.notice || type === message.parameterStatus || type === message.notification) return;
    if (type === message.error) return this.#onError(buffer, start, end);
    if (this.#pending === undefined) throw new Error('The server spoke out of turn.');
    if (type === message.ready) return this.#onReady(this.#pending, buffer[start]);
    this.#pending.batch.take(type, buffer, start, end);
  }

  #onError(buffer: Buffer, start: number, end: number): void {
    const { error, fatal } = readError(buffer, start, end);
    const batch = this.#pending?.batch;
    if (fatal || batch === undefined) throw new ConnectionLost('The database ended the connection.', { cause: error });
    // "Cached plan must not change result type", after a migration elsewhere; or somebody deallocated everything.
    error.sql = batch.current?.sql;
    const parsedBefore = batch.current?.columns !== undefined;
    error.stale = parsedBefore && (error.sqlstate === '0A000' || error.sqlstate === '26000');
    batch.refusal = error;
  }

  #onReady({ batch, timer, resolve, reject }: Pending, status: number | undefined): void {
    const now = statuses[status ?? 0];
    if (now === undefined || (!batch.complete && batch.refusal === undefined)) throw new Error('An incomplete answer.');
    this.#status = now;
    this.#pending = undefined;
    clearTimeout(timer);
    const error = batch.refusal ?? batch.fault;
    if (error === undefined) return resolve(batch.results);
    this.#forgetUnparsed();
    reject(error);
    // Prepared for another schema; or to a standby (25006), and the name leads elsewhere since it took over.
    if (batch.refusal?.stale === true || batch.refusal?.sqlstate === '25006') {
      throw new ConnectionLost('The connection is out of date.', { cause: error, contagious: true });
    }
  }

  #end(reason: ConnectionLost): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#socket.writableEnded) this.#socket.destroy();
    const pending = this.#pending;
    this.#pending = undefined;
    clearTimeout(pending?.timer);
    pending?.reject(reason);
    this.onEnd(reason);
  }
}

/**
 * Opens a connection and runs `greeting`, settings that hold for its lifetime. NoConnection, with the reason as its
 * cause: the server did not let us in, or did not do that, within `timeoutMs` each.
 */
export async function openConnection(
  address: PostgresAddress,
  { greeting, timeoutMs }: { greeting: string; timeoutMs: number },
): Promise<Connection> {
  let connection: Connection | undefined;
  try {
    connection = new Connection(await openSession(address, timeoutMs));
    await connection.script(greeting, timeoutMs);
    return connection;
  } catch (cause) {
    connection?.close();
    throw new NoConnection('No connection to the database could be opened.', { cause });
  }
}
