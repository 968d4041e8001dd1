import { statSync } from 'node:fs';

import { pendingMigrations } from './migrations.ts';
import type { AppliedMigration } from './migrations.ts';
import type { Database, Migration } from './database.ts';
import { connect, toError, toFault } from './sqlite_connection.ts';
import type { SqliteConnection } from './sqlite_connection.ts';
import { createWriter, settle } from './sqlite_writer.ts';
import type { SqliteWriter, ToWriter } from './sqlite_writer.ts';
import { createWriterThread } from './sqlite_writer_owner.ts';

export interface SqliteOptions {
  /** A path, or `:memory:` for a database that one thread keeps to itself and that ends with it. */
  file: string;
  /** How long a write waits for another process that holds the lock. */
  lockTimeoutMs?: number;
  /** Opens a way to the writer of another thread of this process; without it there is one of our own. */
  toWriter?: (() => ToWriter) | undefined;
}

/** Longer than for a request: other instances may be migrating. */
const MIGRATION_LOCK_TIMEOUT_MS = 15_000;

/** SQLite in WAL mode: reads on a read-only connection of this thread, writes on the writer thread. */
export function openSqlite({ file, lockTimeoutMs = 2_000, toWriter }: SqliteOptions): Database {
  const memory = file === ':memory:' ? connect(file) : undefined;
  const thread = memory ?? toWriter ? undefined : createWriterThread({ file, lockTimeoutMs });
  const writer = memory === undefined ? createWriter(toWriter ?? thread!.connect) : inline(memory);
  let reader = memory;
  /** Whether the reader is inside a read transaction. */
  let snapshot = false;
  /** Events that the loop had taken from the system at the last read. */
  let taken = 0;

  const endSnapshot = (): void => {
    if (!snapshot) return;
    snapshot = false;
    reader?.rollback(); // Nothing was written; and after an I/O error SQLite has done so itself.
  };

  /**
   * Reads of one turn of the event loop share a read transaction, which saves most of what taking and giving back
   * SQLite's locks costs. None of them sees less than it must: all requests that were taken from the system at once
   * had arrived before, so whatever was acknowledged before they were sent had been committed by then; and more of
   * them, which a turn takes when it finds 1,024, end it, as does the answer to a write of our own.
   */
  const reading = <T>(read: (connection: SqliteConnection) => T): T => {
    try {
      reader ??= connect(file, { readOnly: true });
      const { events } = performance.nodeTiming.uvMetricsInfo;
      if (events !== taken) endSnapshot();
      taken = events;
      if (!snapshot && reader !== memory) {
        reader.one('BEGIN', []);
        snapshot = true;
        setImmediate(endSnapshot);
      }
      return read(reader);
    } catch (error) {
      throw toError(toFault(error));
    }
  };

  return {
    kind: 'sqlite',
    one: (sql, params) => reading((connection) => connection.one(sql, params)),
    all: (sql, params) => reading((connection) => connection.all(sql, params)),
    write: (statements) => writer.write(statements).finally(endSnapshot),
    ...(thread === undefined ? {} : { serveWriter: thread.serve }),

    async migrate(migrations) {
      const connection = memory ?? connect(file, { lockTimeoutMs: MIGRATION_LOCK_TIMEOUT_MS });
      try {
        return migrate(connection, migrations);
      } finally {
        endSnapshot();
        if (connection !== memory) connection.close();
      }
    },

    async ping() {
      if (memory === undefined) statSync(file);
      reading((connection) => connection.one('SELECT 1 FROM schema_migrations', []));
    },

    async close() {
      endSnapshot();
      if (reader !== memory) reader?.close();
      reader = undefined;
      await writer.close();
      await thread?.close();
      memory?.close();
    },
  };
}

/** Writes on the connection of this thread, one after another. */
function inline(connection: SqliteConnection): SqliteWriter {
  return {
    write: (statements) =>
      new Promise((resolve, reject) => settle({ resolve, reject }, connection.commit([statements])[0]!)),
    close: async () => {},
  };
}

function migrate(connection: SqliteConnection, migrations: readonly Migration[]): Migration[] {
  connection.exec('BEGIN IMMEDIATE');
  try {
    connection.exec(`CREATE TABLE IF NOT EXISTS schema_migrations (
      version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
    ) STRICT`);
    const applied = connection
      .all('SELECT version, name, checksum FROM schema_migrations ORDER BY version', [])
      .map(([version, name, checksum]) => ({ version, name, checksum }) as AppliedMigration);
    const pending = pendingMigrations(applied, migrations);
    for (const { version, name, sql, checksum } of pending) {
      try {
        connection.exec(sql);
      } catch (cause) {
        const why = (cause as Error).message;
        throw new Error(`Migration ${name} was refused, and nothing was changed: ${why}`, { cause });
      }
      connection.one(
        `INSERT INTO schema_migrations (version, name, checksum, applied_at)
         VALUES ($1, $2, $3, unixepoch('subsec') * 1000) RETURNING version`,
        [version, name, checksum],
      );
    }
    connection.exec('COMMIT');
    return pending;
  } catch (error) {
    connection.rollback();
    throw error;
  }
}
