import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, unavailable } from '../core/errors.ts';
import type { Connection, Query } from '../wire/postgres.ts';
import { ConnectionLost, Disagreement, NoConnection, PostgresError } from '../wire/postgres_errors.ts';
import { Pool } from '../wire/postgres_pool.ts';
import { toPostgresAddress } from '../wire/postgres_url.ts';
import { applyMigrations } from './postgres_migrate.ts';
import type { Database, Migration, Outcome, Row, Statement, Value } from './database.ts';

export interface PostgresOptions {
  /** As `toPostgresAddress` reads it. */
  url: string;
  poolMax: number;
  /** Monotonic milliseconds. */
  now: () => number;
  /** For one call with everything in it: waiting for a connection (three quarters at most), repeating. */
  timeoutMs?: number;
  /** For all migrations together, waiting for those of another instance included. */
  migrateMs?: number;
  /** For how long `migrate` goes on asking for a server that is away. */
  patienceMs?: number;
  /** Called once when it does, with the reason. */
  onWait?: (reason: unknown) => void;
  idleMs?: number;
}

/** Callers that may wait for a connection. */
const MAX_WAITING = 1000;
/** How often a transaction that lost against another is begun at most. */
const MAX_CONFLICTS = 25;
const LONGEST_PAUSE_MS = 100;
/** Between two attempts to migrate. */
const ATTEMPT_PAUSE_MS = 300;

const begin: Query = { sql: 'BEGIN ISOLATION LEVEL SERIALIZABLE', params: [] };
const commit: Query = { sql: 'COMMIT', params: [] };

/** Serialization failure and deadlock: the server has rolled back and invites to try again. */
const isConflict = (error: unknown): error is PostgresError =>
  error instanceof PostgresError && (error.sqlstate === '40001' || error.sqlstate === '40P01');

const isStale = (error: unknown): boolean => error instanceof PostgresError && error.stale;

/**
 * Refusals that say nothing about the statement but about the server's state: connection (08), resources (53: disk
 * full, memory, too many connections), shutdown (57P), statement timeout (57014), lock (55P03), standby (25006), I/O
 * (58030), and conflicts that did not end.
 */
const isUnavailable = (sqlstate: string): boolean =>
  /^(08|53|57P|57014|55P03|25006|25P03|58030|40001|40P01)/.test(sqlstate);

/** What the rest of the server gets to see: 503 for what may pass, anything else as it is, our own bug. */
function toFailure(error: unknown): unknown {
  if (isConflict(error)) return unavailable(error);
  if (!isAway(error) && !(error instanceof PostgresError && isUnavailable(error.sqlstate))) return error;
  return new Failure('unavailable', undefined, { cause: error, retryAfter: 2 });
}

/** A wrong password or database (28, 3D), or TLS that only one side wants: waiting does not help. */
function isRefusal(error: unknown): boolean {
  if (error instanceof PostgresError) return /^(28|3D)/.test(error.sqlstate);
  if (error instanceof Disagreement) return true;
  return error instanceof Error && isRefusal(error.cause);
}

const isAway = (error: unknown): boolean => error instanceof NoConnection || error instanceof ConnectionLost;

/** Milliseconds to wait before trying again, after `conflicts` of them: random, so that the rivals part. */
const pauseAfter = (conflicts: number): number => Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** conflicts);

/** Ends a failed or unwanted transaction. If that does not succeed the connection ends, and the transaction with it. */
async function rollBack(connection: Connection, timeoutMs: number): Promise<void> {
  await connection.script('ROLLBACK', timeoutMs).catch(() => connection.close());
}

/**
 * The database in a PostgreSQL server; connects when first asked. A write is one SERIALIZABLE transaction, so that a
 * condition that a statement has read still holds when it commits, unless it is one statement by key. It is begun again
 * only when the server says that it has rolled it back for another's sake. A connection that breaks during a COMMIT
 * leaves an outcome that nobody knows: that is `unavailable`, and not tried again. A read is tried once more.
 */
export function openPostgres({
  url,
  poolMax,
  now,
  timeoutMs = 4000,
  migrateMs = 120_000,
  patienceMs = 0,
  onWait = () => {},
  idleMs = 60_000,
}: PostgresOptions): Database {
  const pool = new Pool({
    address: toPostgresAddress(url),
    greeting: `SET statement_timeout = ${timeoutMs}; SET idle_in_transaction_session_timeout = ${2 * timeoutMs};
      SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
    max: poolMax,
    maxWaiting: MAX_WAITING,
    connectMs: Math.min(3000, timeoutMs),
    idleMs,
    now,
  });

  /** `work` on a connection of its own, again while `mayRepeat` says so and time is left. */
  async function persist<T>(
    work: (connection: Connection, deadline: number) => Promise<T>,
    mayRepeat: (error: unknown, attempts: number) => boolean,
  ): Promise<T> {
    const deadline = now() + timeoutMs;
    for (let attempts = 1; ; attempts += 1) {
      try {
        // Who gets one with no time left would lose it to the deadline, and so would all who wait behind.
        const connection = await pool.acquire(deadline - timeoutMs / 4);
        try {
          return await work(connection, deadline);
        } finally {
          pool.release(connection);
        }
      } catch (error) {
        const pause = isConflict(error) ? pauseAfter(attempts) : 0;
        if (!mayRepeat(error, attempts) || now() + pause >= deadline) throw toFailure(error);
        if (pause > 0) await sleep(pause);
      }
    }
  }

  async function all(sql: string, params: readonly Value[]): Promise<Row[]> {
    const [result] = await persist(
      (connection, deadline) => connection.run([{ sql, params }], deadline - now()),
      (error, attempts) => attempts === 1 && (error instanceof ConnectionLost || isStale(error)),
    );
    return (result as Outcome).rows;
  }

  async function write(statements: readonly Statement[]): Promise<Outcome[] | undefined> {
    const expecting = statements.some(({ changes }) => changes !== undefined);
    const alone = statements.length === 1 && statements[0]!.byKey === true;
    let committing = false;

    /**
     * One round trip, at READ COMMITTED. Who waits for a row that another transaction changes looks again whether it
     * meets the condition (EvalPlanQual), so of two that compete for it one changes nothing: as SERIALIZABLE would
     * end, but without being begun again. A row count of 0 leaves nothing to undo, and more than 1 there cannot be.
     * https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
     */
    async function amend(connection: Connection, deadline: number): Promise<Outcome[] | undefined> {
      committing = true;
      const outcomes = await connection.run(statements, deadline - now());
      return statements[0]!.changes === undefined || outcomes[0]!.changes === statements[0]!.changes
        ? outcomes
        : undefined;
    }

    async function transact(connection: Connection, deadline: number): Promise<Outcome[] | undefined> {
      committing = !expecting;
      try {
        if (!expecting) return (await connection.run([begin, ...statements, commit], deadline - now())).slice(1, -1);
        const outcomes = (await connection.run([begin, ...statements], deadline - now())).slice(1);
        if (!statements.every(({ changes }, index) => changes === undefined || outcomes[index]?.changes === changes)) {
          return undefined;
        }
        committing = true;
        await connection.run([commit], deadline - now());
        return outcomes;
      } finally {
        if (!connection.ended && connection.status !== 'idle') await rollBack(connection, deadline - now());
      }
    }

    return persist(alone ? amend : transact, (error, attempts) => {
      if (isConflict(error)) return attempts < MAX_CONFLICTS;
      return attempts === 1 && (isStale(error) || (error instanceof ConnectionLost && !committing));
    });
  }

  async function migrateOnce(available: readonly Migration[]): Promise<Migration[]> {
    const connection = await pool.acquire(now() + timeoutMs);
    try {
      return await applyMigrations(connection, available, migrateMs);
    } finally {
      if (!connection.ended && connection.status !== 'idle') await rollBack(connection, timeoutMs);
      pool.release(connection);
    }
  }

  async function migrate(available: readonly Migration[]): Promise<Migration[]> {
    const patientUntil = now() + patienceMs;
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await migrateOnce(available);
      } catch (error) {
        if (!isAway(error) || isRefusal(error) || now() >= patientUntil) throw toFailure(error);
        if (attempts === 1) onWait(error);
        await sleep(ATTEMPT_PAUSE_MS);
      }
    }
  }

  return {
    kind: 'postgres',
    one: async (sql, params) => (await all(sql, params))[0],
    all,
    write,
    migrate,
    async ping() {
      await all('SELECT 1', []);
    },
    close: () => pool.close(timeoutMs),
  };
}
