import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import { LAST_ID } from './models.ts';
import type { Job, JobState } from './models.ts';
import type { Database, Row, Statement, Value } from './database.ts';

type Engine = Database['kind'];

/** An attempt at a job, as its worker holds it. */
export interface Claim {
  id: string;
  kind: string;
  /** JSON. */
  payload: string;
  /** 1 for the first. */
  attempt: number;
  createdAt: number;
  /** Whose it is. */
  claim: string;
}

const CLOCK: Record<Engine, string> = {
  sqlite: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
  postgres: 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)',
};
const OPEN = "state IN ('queued', 'running')";
/** Whoever was taken to have died does not come back and end what another has begun. */
const HELD = "id = $1 AND claim = $2 AND attempts = $3 AND state = 'running'";
const JOB = 'id, kind, state, attempts, run_at, created_at, finished_at, last_error';

/**
 * SQLite has one writer, so that its claim is alone. In Postgres several claim at once: each skips what another is
 * about to take, and the array is made once, before anything is updated.
 */
const TAKEN: Record<Engine, (due: string) => string> = {
  sqlite: (due) => `id IN (${due})`,
  postgres: (due) => `id = ANY (ARRAY(${due} FOR UPDATE SKIP LOCKED))`,
};

const textsOf = (engine: Engine) => {
  const clock = CLOCK[engine];
  const due = `SELECT id FROM jobs WHERE ${OPEN} AND run_at <= ${clock} ORDER BY run_at LIMIT $3`;
  return {
    enqueue: `
      INSERT INTO jobs (id, kind, payload, dedup_key, state, attempts, run_at, created_at)
      SELECT $1, $2, $3, $4, 'queued', 0, ${clock}, ${clock} WHERE NOT EXISTS (
        SELECT 1 FROM jobs WHERE dedup_key = $4 AND (finished_at IS NULL OR finished_at > ${clock} - $5))`,
    dueIn: `SELECT run_at - ${clock} FROM jobs WHERE ${OPEN} ORDER BY run_at LIMIT 1`,
    claim: `
      UPDATE jobs SET state = 'running', claim = $1, attempts = attempts + 1, run_at = ${clock} + $2
      WHERE ${TAKEN[engine](due)} RETURNING id, kind, payload, attempts, created_at`,
    extend: `UPDATE jobs SET run_at = ${clock} + $4 WHERE ${HELD}`,
    finish: `UPDATE jobs SET state = $4, last_error = $5, finished_at = ${clock}, claim = NULL WHERE ${HELD}`,
    postpone: `UPDATE jobs SET state = 'queued', run_at = ${clock} + $4, last_error = $5, claim = NULL WHERE ${HELD}`,
    giveBack: `
      UPDATE jobs SET state = 'queued', run_at = ${clock}, attempts = attempts - 1, claim = NULL WHERE ${HELD}`,
    retry: `
      UPDATE jobs SET state = 'queued', run_at = ${clock}, attempts = 0, finished_at = NULL
      WHERE id = $1 AND state = 'dead' RETURNING ${JOB}`,
    purge: `
      DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs WHERE state = $1 AND finished_at <= ${clock} - $2 ORDER BY id LIMIT $3)`,
  };
};
const SQL = { sqlite: textsOf('sqlite'), postgres: textsOf('postgres') };

const BY_ID = `SELECT ${JOB} FROM jobs WHERE id = $1`;
const LIST = `SELECT ${JOB} FROM jobs WHERE id < $1 ORDER BY id DESC LIMIT $2`;
const LIST_STATE = `SELECT ${JOB} FROM jobs WHERE id < $1 AND state = $3 ORDER BY id DESC LIMIT $2`;

export interface NewJob {
  id: string;
  kind: string;
  /** JSON. */
  payload: string;
  /** Not while a job of this key waits or runs, nor within `quietMs` of its end. */
  once?: { key: string; quietMs: number };
}

/** Part of the write that is the job's cause: both happen or neither. */
export const enqueue = (engine: Engine, { id, kind, payload, once }: NewJob): Statement => ({
  sql: SQL[engine].enqueue,
  params: [id, kind, payload, once?.key ?? null, once?.quietMs ?? 0],
});

/** Milliseconds until the next job is due, negative when it is overdue; undefined when none waits. */
export const dueIn = (db: Database): Maybe<number | undefined> =>
  then(db.one(SQL[db.kind].dueIn, []), (row) => row?.[0] as number | undefined);

/** Begins an attempt at up to `limit` jobs that are due, in one statement; nobody else gets them for `leaseMs`. */
export async function claim(db: Database, claimant: string, leaseMs: number, limit: number): Promise<Claim[]> {
  const done = await db.write([{ sql: SQL[db.kind].claim, params: [claimant, leaseMs, limit] }]);
  return (done?.[0]?.rows ?? []).map(([id, kind, payload, attempt, createdAt]) => {
    return { id, kind, payload, attempt, createdAt, claim: claimant } as Claim;
  });
}

const held = (sql: string, { id, claim: claimant, attempt }: Claim, ...more: Value[]): Statement => ({
  sql,
  params: [id, claimant, attempt, ...more],
});

/** Holds on to what is being worked at; whatever has been lost meanwhile stays lost. */
export const extend = async (db: Database, claims: readonly Claim[], leaseMs: number): Promise<void> => {
  await db.write(claims.map((each) => held(SQL[db.kind].extend, each, leaseMs)));
};

const settle = async (db: Database, statement: Statement): Promise<boolean> =>
  (await db.write([{ ...statement, changes: 1 }])) !== undefined;

/** False when the job was not (any longer) the claimant's; likewise below. */
export const finish = (db: Database, job: Claim, state: 'done' | 'dead', error?: string): Promise<boolean> =>
  settle(db, held(SQL[db.kind].finish, job, state, error ?? null));

/** The attempt failed; another may begin in `delayMs`. */
export const postpone = (db: Database, job: Claim, delayMs: number, error: string): Promise<boolean> =>
  settle(db, held(SQL[db.kind].postpone, job, delayMs, error));

/** The attempt was broken off and does not count; the job is due at once. */
export const giveBack = (db: Database, job: Claim): Promise<boolean> => settle(db, held(SQL[db.kind].giveBack, job));

/** Begins anew with a job that was given up; undefined when there is no such job among the dead. */
export async function retry(db: Database, id: string): Promise<Job | undefined> {
  const done = await db.write([{ sql: SQL[db.kind].retry, params: [id], changes: 1 }]);
  return jobOr(done?.[0]?.rows[0]);
}

/** Forgets up to `limit` jobs that ended in this state more than `olderMs` ago; how many. */
export async function purge(db: Database, state: 'done' | 'dead', olderMs: number, limit: number): Promise<number> {
  const done = await db.write([{ sql: SQL[db.kind].purge, params: [state, olderMs, limit] }]);
  return done?.[0]?.changes ?? 0;
}

const toJob = (row: Row): Job => ({
  id: row[0] as string,
  kind: row[1] as string,
  state: row[2] as JobState,
  attempts: row[3] as number,
  runAt: row[4] as number,
  createdAt: row[5] as number,
  finishedAt: (row[6] as number | null) ?? undefined,
  lastError: (row[7] as string | null) ?? undefined,
});

const jobOr = (row: Row | undefined): Job | undefined => (row === undefined ? undefined : toJob(row));

export const byId = (db: Database, id: string): Maybe<Job | undefined> => then(db.one(BY_ID, [id]), jobOr);

/** A page of jobs, newest first, behind the id `after`. */
export const list = (
  db: Database,
  { after = LAST_ID, limit, state }: { after: string | undefined; limit: number; state: JobState | undefined },
): Maybe<Job[]> =>
  then(
    state === undefined ? db.all(LIST, [after, limit]) : db.all(LIST_STATE, [after, limit, state]),
    (rows) => rows.map(toJob),
  );
