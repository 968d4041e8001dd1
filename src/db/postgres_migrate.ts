import type { Connection } from '../wire/postgres.ts';
import { PostgresError } from '../wire/postgres_errors.ts';
import { pendingMigrations, toTitle } from './migrations.ts';
import type { AppliedMigration } from './migrations.ts';
import type { Migration } from './database.ts';

/** Any number will do that other users of advisory locks in the same database do not take. */
const LOCK = 4_203_170_011;

const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version integer NOT NULL PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at bigint NOT NULL)`;
const SELECT_APPLIED = 'SELECT version, name, checksum FROM schema_migrations ORDER BY version';
const INSERT_APPLIED = `INSERT INTO schema_migrations (version, name, checksum, applied_at)
  VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`;

/**
 * Applies what is pending, all or nothing, in one transaction that other instances' migrations wait for: whoever gets
 * the lock later finds nothing left to do. The connection is left inside the transaction when that fails. `timeoutMs`
 * holds for each step, waiting for the lock among them. Error: those of `pendingMigrations`, or which migration the
 * server refused and why.
 */
export async function applyMigrations(
  connection: Connection,
  available: readonly Migration[],
  timeoutMs: number,
): Promise<Migration[]> {
  await connection.script(
    `BEGIN; SET LOCAL statement_timeout = ${timeoutMs}; SET LOCAL idle_in_transaction_session_timeout = ${timeoutMs};
     SELECT pg_advisory_xact_lock(${LOCK}); ${CREATE_TABLE}`,
    timeoutMs,
  );
  const [applied] = await connection.run([{ sql: SELECT_APPLIED, params: [] }], timeoutMs);
  const known = (applied?.rows ?? []).map(([version, name, checksum]) => ({ version, name, checksum }));
  const pending = pendingMigrations(known as AppliedMigration[], available);
  for (const migration of pending) {
    const { version, name, sql, checksum } = migration;
    const title = toTitle(migration);
    try {
      await connection.script(sql, timeoutMs);
    } catch (cause) {
      if (!(cause instanceof PostgresError)) throw cause;
      throw new Error(`Migration ${title} was refused, and nothing was changed: ${cause.message}`, { cause });
    }
    if (connection.status !== 'open') throw new Error(`Migration ${title} must not end the transaction it runs in.`);
    await connection.run([{ sql: INSERT_APPLIED, params: [version, name, checksum] }], timeoutMs);
  }
  await connection.script('COMMIT', timeoutMs);
  return pending;
}
