import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import * as jobs from '../db/jobs.ts';
import type { Claim } from '../db/jobs.ts';
import { check } from '../http/schema.ts';
import { enqueue } from './queue.ts';
import type { AnyTask, TaskCall, TaskContext } from './task.ts';

/**
 * What became of an attempt: `done`; `retried` later; `dead`, given up; `returned`, broken off by a stop; `lost`,
 * taken over by another worker.
 */
export type Outcome = 'done' | 'retried' | 'dead' | 'returned' | 'lost';

export interface WorkerOptions extends TaskContext {
  tasks: readonly AnyTask[];
  /** Monotonic nanoseconds. */
  monotonic(): number;
  /** For counting; `kind` is that of a task, or `unknown`. */
  onOutcome(kind: string, outcome: Outcome): void;
  /** Runs an attempt, counted from 1, inside something of the caller's: a span, say. */
  around?(kind: string, attempt: number, work: () => Promise<void>): Promise<void>;
  /** How long a job stays with a worker that gives no sign of life; 60 s unless told otherwise. */
  leaseMs?: number;
  /** How often to look for jobs that other instances left; 5 s, and up to a fifth more. */
  pollMs?: number;
}

export interface JobWorker {
  /** Begins to look for jobs, until `stop`. */
  start(): void;
  /** Something has been enqueued. */
  wake(): void;
  /**
   * Begins nothing more. What is running may take `graceMs` to finish, then its mail is broken off; what does not
   * finish is given back and will be begun again by the next worker.
   */
  stop(graceMs: number): Promise<void>;
}

/** Jobs at once: they wait for other servers, or else come back to the event loop after each page. */
const CONCURRENCY = 4;
/** How often in the shortest period the recurring tasks are looked at: a write that changes nothing, but for one. */
const RECUR_LOOKS = 10;
/** How long to wait when others were quicker to claim what is due: they are about to say so. */
const OUTRUN_MS = 50;
/** How long what was broken off may take to end. */
const ABORT_MS = 500;
const MAX_ERROR_LENGTH = 500;
/** Of a kind that only another version of the server knows. */
const UNKNOWN_ATTEMPTS = 10;

const BACKOFF_MS = [1_000, 5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000];

/** Milliseconds to wait after this many failures, up to a fifth more, so that what failed together parts. */
export const backoffMs = (failures: number): number =>
  Math.round(BACKOFF_MS[Math.min(failures, BACKOFF_MS.length) - 1]! * (1 + Math.random() / 5));

export function createWorker(options: WorkerOptions): JobWorker {
  const { tasks, monotonic, onOutcome, leaseMs = 60_000, pollMs = 5_000, ...rest } = options;
  const { around = (_kind, _attempt, work) => work(), ...context } = rest;
  const { db, log } = context;
  const byKind = new Map(tasks.map((each) => [each.kind, each]));
  const recurring = tasks.filter(({ every }) => every !== undefined);
  const claimant = randomUUID();
  const stopping = new AbortController();
  const running = new Map<Claim, Promise<void>>();
  let loop: Promise<void> | undefined;
  let awake = false;
  let interrupt = (): void => {};
  let troubled = false;
  /** When recurring tasks are looked at next, monotonic ns. */
  let recurAt = recurring.length === 0 ? Infinity : monotonic() + pollMs * 1e6;

  function wake(): void {
    awake = true;
    interrupt();
  }

  async function nap(ms: number): Promise<void> {
    if (awake) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      interrupt = () => (clearTimeout(timer), resolve());
    });
  }

  async function run(): Promise<void> {
    const heartbeat = setInterval(beat, leaseMs / 3).unref();
    while (!stopping.signal.aborted) {
      awake = false;
      const pauseMs = await look().then(recovered, failed);
      await nap(pauseMs);
    }
    while (running.size > 0) await Promise.all(running.values());
    clearInterval(heartbeat);
  }

  const beat = (): void => {
    if (running.size > 0) jobs.extend(db, [...running.keys()], leaseMs).catch(failed);
  };

  function recovered(pauseMs: number): number {
    troubled = false;
    return pauseMs;
  }

  /** Said once; requests that need the database say it as well. */
  function failed(error: unknown): number {
    if (!troubled) log.warn('jobs wait: the database does not answer', { error });
    troubled = true;
    return pollMs;
  }

  /** Begins what is due; how long nothing else will be. */
  async function look(): Promise<number> {
    if (monotonic() >= recurAt) await recur();
    const jitteredMs = pollMs * (1 + Math.random() / 5);
    const free = CONCURRENCY - running.size;
    if (free === 0) return jitteredMs;
    const due = (await jobs.dueIn(db)) ?? Infinity;
    if (due > 0) return Math.min(due, jitteredMs);
    const claimed = await jobs.claim(db, claimant, leaseMs, free);
    for (const each of claimed) {
      running.set(each, perform(each).finally(() => (running.delete(each), wake())));
    }
    return claimed.length === 0 ? OUTRUN_MS : 0;
  }

  async function recur(): Promise<void> {
    const now = context.now();
    await db.write(
      recurring.map((each) => enqueue(db, each, {}, now, { once: { key: each.kind, quietMs: each.every! } })),
    );
    // The period counts from the end of the last run: who only looked once in it would come too early every time.
    recurAt = monotonic() + (Math.min(...recurring.map(({ every }) => every!)) / RECUR_LOOKS) * 1e6;
  }

  async function perform(claim: Claim): Promise<void> {
    const { kind, attempt } = claim;
    const startedAt = monotonic();
    const task = byKind.get(kind);
    let error: unknown;
    let outcome: Outcome;
    try {
      // A stop that came while the claim was under way.
      stopping.signal.throwIfAborted();
      if (task === undefined) throw new Error('this server has no task of this kind');
      if (attempt > task.maxAttempts) throw new Error('its workers died');
      const call = { ...context, ...read(task, claim), signal: stopping.signal } as TaskCall<never>;
      await around(kind, attempt, async () => task.handler(call));
      outcome = 'done';
    } catch (thrown) {
      error = thrown;
      if (thrown instanceof BadPayload || task?.isFinal?.(thrown)) outcome = 'dead';
      else if (stopping.signal.aborted) outcome = 'returned';
      else outcome = attempt >= (task?.maxAttempts ?? UNKNOWN_ATTEMPTS) ? 'dead' : 'retried';
    }
    try {
      if (!(await settle(claim, outcome, error))) outcome = 'lost';
    } catch (thrown) {
      // The lease runs out, and the job is begun again.
      outcome = 'lost';
      error ??= thrown;
    }
    onOutcome(task === undefined ? 'unknown' : kind, outcome);
    const level = outcome === 'done' ? 'info' : outcome === 'dead' ? 'error' : 'warn';
    const durationMs = (monotonic() - startedAt) / 1e6;
    log[level](`job ${outcome}`, { kind, job_id: claim.id, attempt, duration_ms: durationMs, error });
  }

  function settle(claim: Claim, outcome: Outcome, error: unknown): Promise<boolean> {
    if (outcome === 'done') return jobs.finish(db, claim, 'done');
    if (outcome === 'dead') return jobs.finish(db, claim, 'dead', reasonOf(error));
    if (outcome === 'returned') return jobs.giveBack(db, claim);
    return jobs.postpone(db, claim, backoffMs(claim.attempt), reasonOf(error));
  }

  return {
    wake,

    start() {
      loop ??= run();
    },

    async stop(graceMs) {
      stopping.abort();
      wake();
      if (loop === undefined) return;
      const finished = loop.then(() => true);
      if (await Promise.race([finished, sleep(graceMs, false, { ref: false })])) return;
      await context.mail?.close();
      if (await Promise.race([finished, sleep(ABORT_MS, false, { ref: false })])) return;
      await Promise.allSettled([...running.keys()].map((each) => jobs.giveBack(db, each)));
    },
  };
}

/** What was enqueued is not what the task asks for: that does not pass. */
class BadPayload extends Error {}

function read({ payload: schema }: AnyTask, { id, payload, createdAt }: Claim) {
  const value: unknown = JSON.parse(payload);
  const [fault] = check(schema, value);
  if (fault !== undefined) throw new BadPayload(`the payload does not fit: ${fault.pointer} ${fault.detail}`);
  return { payload: value, jobId: id, createdAt };
}

const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).slice(0, MAX_ERROR_LENGTH);
