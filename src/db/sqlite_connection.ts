import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { constants, DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';

import { unavailable } from '../core/errors.ts';
import type { Outcome, Row, Statement, Value } from './database.ts';

/** Earlier ones can corrupt a WAL database when a checkpoint and a write coincide (sqlite.org/wal.html, WAL-reset). */
const OLDEST_SQLITE = '3.51.3';
const MEMORY = ':memory:';
/** The most that a reader keeps of the file: the inner pages of millions of rows; a small file takes what it has. */
const READER_CACHE_KIB = 32_768;

/** What became of one write: what its statements did, `undone` for an expectation not met, or an error. */
export type WriteResult = { outcomes: Outcome[] } | { undone: true } | { error: SqliteFault };

/** An error of SQLite as it crosses threads. */
export interface SqliteFault {
  message: string;
  /** https://sqlite.org/rescode.html; undefined when SQLite was not the one that failed. */
  errcode: number | undefined;
}

/** One connection: prepared statements kept by their text, rows as arrays. */
export interface SqliteConnection {
  one(sql: string, params: readonly Value[]): Row | undefined;
  all(sql: string, params: readonly Value[]): Row[];
  exec(sql: string): void;
  /** Ends a transaction unless SQLite has done so itself, as on a full disk. */
  rollback(): void;
  /** The writes in one transaction, each all or nothing; one flush to the disk (`synchronous=FULL`) for all. */
  commit(writes: readonly (readonly Statement[])[]): WriteResult[];
  /**
   * Gives free pages back to the disk, and the write-ahead log's too, without waiting for anybody. False: there is more
   * to do, or somebody was reading.
   */
  tidy(): boolean;
  close(): void;
}

interface Prepared {
  statement: StatementSync;
  returnsRows: boolean;
}

/**
 * Opens the file, creating it with mode 0600 (SQLite gives the same to its -wal and -shm). A writer waits up to
 * `lockTimeoutMs` for another process to release the write lock.
 */
export function connect(
  file: string,
  { readOnly = false, lockTimeoutMs = 2_000 }: { readOnly?: boolean; lockTimeoutMs?: number } = {},
): SqliteConnection {
  if (file !== MEMORY && !readOnly) {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    closeSync(openSync(file, 'a', 0o600));
  }
  const database = new DatabaseSync(file, { readOnly, timeout: lockTimeoutMs });
  const prepared = new Map<string, Prepared>();

  /** SQL is written once for both engines: what they call `$1`, SQLite calls `?1`. */
  function prepare(sql: string): Prepared {
    let found = prepared.get(sql);
    if (found === undefined) {
      const statement = database.prepare(sql.replaceAll(/\$(\d+)/g, '?$1'));
      statement.setReturnArrays(true);
      prepared.set(sql, (found = { statement, returnsRows: statement.columns().length > 0 }));
    }
    return found;
  }

  function run({ sql, params }: Statement): Outcome {
    const { statement, returnsRows } = prepare(sql);
    if (!returnsRows) return { rows: [], changes: Number(statement.run(...params).changes) };
    const rows = statement.all(...params) as unknown as Row[];
    return { rows, changes: rows.length };
  }

  /** The statements of one write, inside a transaction that it shares with others: all of them or none. */
  function write(statements: readonly Statement[]): WriteResult {
    const outcomes: Outcome[] = [];
    run(SAVEPOINT);
    try {
      for (const statement of statements) {
        const outcome = run(statement);
        if (statement.changes !== undefined && outcome.changes !== statement.changes) {
          undo();
          return { undone: true };
        }
        outcomes.push(outcome);
      }
    } catch (error) {
      if (!database.isTransaction) throw error; // SQLite has rolled everything back: the disk is full, say.
      undo();
      return { error: toFault(error) };
    }
    run(RELEASE);
    return { outcomes };
  }

  function undo(): void {
    run(ROLLBACK_TO);
    run(RELEASE);
  }

  function rollback(): void {
    if (database.isTransaction) run(ROLLBACK);
  }

  database.enableDefensive(true);
  database.exec('PRAGMA trusted_schema = OFF');
  if (readOnly) database.exec(`PRAGMA cache_size = -${READER_CACHE_KIB}`);
  if (!readOnly) {
    if (file !== MEMORY) {
      database.exec('PRAGMA auto_vacuum = INCREMENTAL');
      switchToWal(database, lockTimeoutMs);
    }
    database.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216');
  }
  const version = String(database.prepare('SELECT sqlite_version() AS version').get()!['version']);
  if (versionNumber(version) < versionNumber(OLDEST_SQLITE)) {
    throw new Error(`SQLite ${OLDEST_SQLITE} or newer is needed; this Node has ${version}.`);
  }
  database.setAuthorizer((action) =>
    action === constants.SQLITE_ATTACH || action === constants.SQLITE_DETACH
      ? constants.SQLITE_DENY
      : constants.SQLITE_OK,
  );

  return {
    one: (sql, params) => prepare(sql).statement.get(...params) as unknown as Row | undefined,
    all: (sql, params) => prepare(sql).statement.all(...params) as unknown as Row[],
    exec: (sql) => database.exec(sql),
    rollback,

    commit(writes) {
      try {
        run(BEGIN);
        const results = writes.map(write);
        run(COMMIT);
        return results;
      } catch (error) {
        rollback();
        return writes.map(() => ({ error: toFault(error) }));
      }
    },

    tidy() {
      database.exec('PRAGMA busy_timeout = 0');
      try {
        const { page_count: pages, freelist_count: free } = database.prepare(PAGES).get() as Record<string, number>;
        const wasteful = free! > pages! / 4;
        if (wasteful) database.exec(`PRAGMA incremental_vacuum(${TIDY_PAGES})`);
        const { busy } = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()!;
        return busy === 0 && !(wasteful && free! > TIDY_PAGES);
      } finally {
        database.exec(`PRAGMA busy_timeout = ${lockTimeoutMs}`);
      }
    },

    close: () => database.close(),
  };
}

const versionNumber = (version: string): number =>
  version.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0);

const PAGES = 'SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count';
/** Pages given back at once: 4 MB, a few milliseconds. */
const TIDY_PAGES = 1_000;

/** SQLite itself does not wait when two connections that have just made a file both want this. */
function switchToWal(database: DatabaseSync, timeoutMs: number): void {
  const pauseMs = 20;
  for (let waitedMs = 0; ; waitedMs += pauseMs) {
    try {
      return database.exec('PRAGMA journal_mode = WAL');
    } catch (error) {
      if (toFault(error).errcode !== BUSY || waitedMs >= timeoutMs) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
    }
  }
}

const BEGIN: Statement = { sql: 'BEGIN IMMEDIATE', params: [] };
const COMMIT: Statement = { sql: 'COMMIT', params: [] };
const ROLLBACK: Statement = { sql: 'ROLLBACK', params: [] };
const SAVEPOINT: Statement = { sql: 'SAVEPOINT one_write', params: [] };
const ROLLBACK_TO: Statement = { sql: 'ROLLBACK TO one_write', params: [] };
const RELEASE: Statement = { sql: 'RELEASE one_write', params: [] };

export function toFault(error: unknown): SqliteFault {
  const { message, errcode } = error as Error & { errcode?: number };
  return { message, errcode };
}

const BUSY = 5;
/** Primary result codes that mean "not now": busy, locked, out of memory, read-only, I/O, full, can't open. */
const PASSING = new Set([BUSY, 6, 7, 8, 10, 13, 14]);

export const isPassing = ({ errcode }: SqliteFault): boolean => errcode !== undefined && PASSING.has(errcode & 0xff);

/** What SQLite reported, as a refusal when it will pass, else as the bug it is. */
export function toError(fault: SqliteFault): Error {
  const cause = Object.assign(new Error(fault.message), { errcode: fault.errcode });
  return isPassing(fault) ? unavailable(cause) : cause;
}
