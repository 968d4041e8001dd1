import type { MessagePort } from 'node:worker_threads';

import type { Maybe } from '../core/maybe.ts';

/** What a column can hold, the same in every engine: times are integers (ms since 1970), flags are 0 or 1. */
export type Value = string | number | null;

/** The columns of a row in the order of the SELECT or RETURNING list. */
export type Row = readonly Value[];

/**
 * One statement of a write. Parameters are `$1`, `$2`, … in the text. `changes` is the number of rows that it must
 * change; anything else undoes the whole write. Without it any number will do.
 *
 * `byKey` promises that the statement changes one row at most, by a unique key, and that its conditions read no other
 * row: an engine may then do it, alone in a write, without the isolation that everything else gets. Not for a change of
 * a row that other writes decide by: those at the same moment would not notice what changes behind it.
 */
export interface Statement {
  sql: string;
  params: readonly Value[];
  changes?: number;
  byKey?: boolean;
}

/** What one statement did: the rows of its RETURNING clause (empty without one) and how many it changed. */
export interface Outcome {
  rows: Row[];
  changes: number;
}

/** A numbered step of the schema, from `migrations/<engine>/NNNN_name.sql`. */
export interface Migration {
  version: number;
  name: string;
  sql: string;
  /** SHA-256 of the text, hexadecimal. */
  checksum: string;
}

/**
 * The whole of what the rest of the server knows of its database. A failure to reach it, to lock it or to find room
 * on its disk is `Failure('unavailable')`; nothing is half done then, unless a connection broke inside a commit.
 */
export interface Database {
  readonly kind: 'sqlite' | 'postgres';
  /** The first row, or undefined. */
  one(sql: string, params: readonly Value[]): Maybe<Row | undefined>;
  /** All rows; every SELECT given here bounds its own number. */
  all(sql: string, params: readonly Value[]): Maybe<Row[]>;
  /**
   * All statements in one transaction, durable when the promise is kept; or none of them, and undefined, when one
   * did not change the number of rows that it must.
   */
  write(statements: readonly Statement[]): Promise<Outcome[] | undefined>;
  /**
   * Where there is one writer for the whole process: writes for the thread that has the other end of the port. Resolves
   * when that writer is gone, with what it died of.
   */
  serveWriter?(port: MessagePort): Promise<unknown>;
  /** Brings the schema up to date, one instance at a time; the versions applied now. Refuses a changed or newer one. */
  migrate(migrations: readonly Migration[]): Promise<Migration[]>;
  /** Resolves when the database answers; rejects with the reason otherwise. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
