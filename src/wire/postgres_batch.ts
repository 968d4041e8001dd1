import { message, readChanges, readColumns, readRow } from './postgres_messages.ts';
import type { Field, Kind } from './postgres_messages.ts';
import type { PostgresError } from './postgres_errors.ts';

export interface Result {
  rows: Field[][];
  /** Rows inserted, updated or deleted. */
  changes: number;
}

/** A statement that the server has parsed, or will have when it comes to it. */
export interface Prepared {
  sql: string;
  /** Empty for one that is parsed at every use. */
  name: string;
  /** Known once the server has parsed it. */
  columns: Kind[] | undefined;
  /** Why its rows cannot be read. */
  fault: TypeError | undefined;
}

/**
 * The answer to one batch, built up message by message. A malformed or unexpected message is an Error: the connection
 * is then good for nothing. A refusal is kept, and so is a column that cannot be read, which is the caller's mistake.
 */
export class Batch {
  /** Undefined for a script, whose rows nobody wants. */
  readonly #statements: readonly Prepared[] | undefined;
  readonly results: Result[] = [];
  refusal: PostgresError | undefined;
  fault: TypeError | undefined;
  #rows: Field[][] = [];

  constructor(statements: readonly Prepared[] | undefined) {
    this.#statements = statements;
  }

  /** The statement whose answer is due. */
  get current(): Prepared | undefined {
    return this.#statements?.[this.results.length];
  }

  /** Whether every statement was answered. */
  get complete(): boolean {
    return this.#statements === undefined || this.results.length === this.#statements.length;
  }

  /** Takes any message but those that a server may send at any time, errors and ReadyForQuery. */
  take(type: number, buffer: Buffer, start: number, end: number): void {
    if (this.#statements === undefined) return;
    const statement = this.current;
    if (statement === undefined || this.refusal !== undefined) throw new Error('An answer to no question.');
    switch (type) {
      case message.dataRow:
        this.#takeRow(statement, buffer, start, end);
        return;
      case message.commandComplete:
      case message.emptyQuery:
        this.results.push({ rows: this.#rows, changes: readChanges(buffer, start, end) });
        this.#rows = [];
        return;
      case message.rowDescription:
        this.#takeColumns(statement, buffer, start, end);
        return;
      case message.noData:
        statement.columns = [];
        return;
      case message.parseComplete:
      case message.bindComplete:
      case message.parameterDescription:
        return;
      default:
        throw new Error('A message that has no place in an answer.');
    }
  }

  #takeColumns(statement: Prepared, buffer: Buffer, start: number, end: number): void {
    try {
      statement.columns = readColumns(buffer, start, end);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      statement.columns = [];
      statement.fault = error;
    }
  }

  #takeRow(statement: Prepared, buffer: Buffer, start: number, end: number): void {
    if (statement.columns === undefined) throw new Error('A row without a description.');
    this.fault ??= statement.fault;
    if (this.fault !== undefined) return;
    try {
      this.#rows.push(readRow(buffer, start, end, statement.columns));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.fault = error;
    }
  }
}
