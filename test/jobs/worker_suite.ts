import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { uuidv7 } from '../../src/core/uuid.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import * as jobs from '../../src/db/jobs.ts';
import type { Job } from '../../src/db/models.ts';
import { object, string } from '../../src/http/schema.ts';
import { enqueue } from '../../src/jobs/queue.ts';
import { task } from '../../src/jobs/task.ts';
import type { AnyTask, Task, TaskCall } from '../../src/jobs/task.ts';
import { createWorker } from '../../src/jobs/worker.ts';
import type { JobWorker, WorkerOptions } from '../../src/jobs/worker.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { eventually } from '../helpers/mailbox.ts';

const now = (): number => Date.now();
const monotonic = (): number => performance.now() * 1e6;
const Payload = object({ word: string() });
type Payload = { word: string };

const greet = (handler: (call: TaskCall<Payload>) => Promise<void>, more: Partial<Task<Payload>> = {}): Task<Payload> =>
  task({ kind: 'greet', payload: Payload, maxAttempts: 3, ...more, handler });

/** Two instances' ways to one database with its schema. */
export interface Engine {
  open(): Promise<{ databases: [Database, Database]; close(): Promise<void> }>;
}

interface Hall {
  db: Database;
  other: Database;
  /** A worker that has started, and is stopped at the end. */
  worker(task: AnyTask | readonly AnyTask[], options?: Partial<WorkerOptions>): JobWorker;
  outcomes: string[];
  put(word: string, more?: { once?: { key: string; quietMs: number } }): Promise<string>;
  job(id: string): Promise<Job>;
  /** The job once `fits`. */
  seen(id: string, what: string, fits: (job: Job) => boolean): Promise<Job>;
  set(id: string, assignments: string): Promise<void>;
}

/** Shows what the queue and its workers promise, on one engine. */
export function workerSuite(name: string, { open }: Engine, skip: string | false = false): void {
  const within = (story: (hall: Hall) => Promise<void>) => async (): Promise<void> => {
    const { databases: [db, other], close } = await open();
    const workers: JobWorker[] = [];
    const log = createLog({ level: 'error', format: 'json', color: false, now, sink: { write: () => true, flushSync() {} } });
    const hall: Hall = {
      db,
      other,
      outcomes: [],
      worker(given, options = {}) {
        const worker = createWorker({
          db, log, now, monotonic, mail: undefined, publicUrl: 'http://localhost', tasks: [given].flat(), pollMs: 50,
          onOutcome: (kind, outcome) => void hall.outcomes.push(`${kind} ${outcome}`), onPurged() {},
          ...options,
        });
        workers.push(worker);
        worker.start();
        return worker;
      },
      async put(word, more = {}) {
        const id = uuidv7(now());
        await db.write([enqueue(db, { kind: 'greet', payload: Payload }, { word }, now(), { id, ...more })]);
        return id;
      },
      job: async (id) => (await jobs.byId(db, id))!,
      seen: (id, what, fits) => eventually(what, async () => {
        const found = await jobs.byId(db, id);
        return found !== undefined && fits(found) ? found : undefined;
      }),
      set: async (id, assignments) => {
        await db.write([{ sql: `UPDATE jobs SET ${assignments} WHERE id = $1`, params: [id], changes: 1 }]);
      },
    };
    try {
      await migrate(db);
      await story(hall);
    } finally {
      await Promise.all(workers.map((worker) => worker.stop(500)));
      await close();
    }
  };
  const isDone = ({ state }: Job): boolean => state === 'done';

  describe(`jobs in ${name}`, { skip }, () => {
    test('a job is there with its cause or not at all', within(async ({ db }) => {
      const statement = enqueue(db, { kind: 'greet', payload: Payload }, { word: 'x' }, now());
      const undone = { sql: "DELETE FROM users WHERE id = 'nobody'", params: [], changes: 1 };
      assert.equal(await db.write([statement, undone]), undefined);
      assert.deepEqual(await jobs.list(db, { after: undefined, limit: 10, state: undefined }), []);
      await db.write([statement]);
      assert.equal((await jobs.list(db, { after: undefined, limit: 10, state: 'queued' })).length, 1);
    }));

    test('four workers of two instances do each of 200 jobs once', within(async ({ db, other, put, worker, outcomes }) => {
      const words: string[] = [];
      const ids = await Promise.all(Array.from({ length: 200 }, (_, i) => put(`word ${i}`)));
      for (const each of [db, other, db, other]) {
        worker(greet(async ({ payload }) => void words.push(payload.word)), { db: each });
      }
      await eventually('200 outcomes', () => (outcomes.length >= 200 ? true : undefined));
      assert.equal(new Set(words).size, 200);
      assert.equal(words.length, 200);
      const all = await jobs.list(db, { after: undefined, limit: 300, state: 'done' });
      assert.deepEqual(all.map(({ id }) => id).sort(), ids.sort());
      assert.ok(all.every(({ attempts, finishedAt, lastError }) => attempts === 1 && finishedAt && !lastError));
    }));

    test('what fails is tried again, later and later, then kept among the dead until it is retried', within(
      async ({ db, put, worker, job, seen, set }) => {
        let calls = 0;
        let broken = true;
        worker(greet(async ({ payload }) => {
          calls++;
          if (broken) throw new Error(`no ${payload.word} today`);
        }));
        const id = await put('bread');
        for (const [attempt, least] of [[1, 1_000], [2, 5_000]] as const) {
          const before = now();
          const { runAt, lastError } = await seen(id, 'failure', (each) => each.state === 'queued' && each.attempts === attempt);
          assert.equal(lastError, 'no bread today');
          // The database is on this machine, so that its clock is ours; the attempt was begun before `before`, or after.
          assert.ok(runAt >= before + least - 2_000 && runAt <= now() + least * 1.2, `${runAt - before}`);
          await set(id, 'run_at = 0');
        }
        const dead = await seen(id, 'death', ({ state }) => state === 'dead');
        assert.deepEqual([dead.attempts, calls, dead.lastError], [3, 3, 'no bread today']);
        assert.equal((await jobs.list(db, { after: undefined, limit: 10, state: 'dead' })).length, 1);
        broken = false;
        assert.equal((await jobs.retry(db, id))?.attempts, 0);
        await seen(id, 'success', isDone);
        assert.equal(await jobs.retry(db, id), undefined, 'only the dead');
        assert.equal((await job(id)).attempts, 1);
      },
    ));

    test('what another attempt can not mend dies at once', within(async ({ db, put, worker, seen, set, outcomes }) => {
      worker(greet(async () => assert.fail('in vain'), { isFinal: (error) => error instanceof assert.AssertionError }));
      const final = await seen(await put('x'), 'death', ({ state }) => state === 'dead');
      assert.deepEqual([final.attempts, final.lastError], [1, 'in vain']);
      const id = uuidv7(now());
      await db.write([jobs.enqueue(db.kind, { id, kind: 'greet', payload: '{"number":1}' })]);
      const misfit = await seen(id, 'death', ({ state }) => state === 'dead');
      assert.match(misfit.lastError!, /^the payload does not fit: \/word is missing/);
      const unknown = await put('x');
      await set(unknown, "kind = 'of a later version', state = 'queued', finished_at = NULL, run_at = 0");
      const { lastError } = await seen(unknown, 'a refusal', (each) => each.lastError?.includes('no task') === true);
      assert.equal(lastError, 'this server has no task of this kind');
      assert.deepEqual(outcomes.slice(0, 2), ['greet dead', 'greet dead']);
    }));

    test('a job belongs to its worker for the time of the lease, then to who comes next', within(async ({ db, other, put, job, set }) => {
      const id = await put('x');
      const [first] = await jobs.claim(db, 'first', 60_000, 5);
      assert.deepEqual([first!.id, first!.attempt, JSON.parse(first!.payload)], [id, 1, { word: 'x' }]);
      assert.deepEqual(await jobs.claim(other, 'second', 60_000, 5), []);
      const lease = (await job(id)).runAt;
      await set(id, 'run_at = run_at - 61000');
      await jobs.extend(db, [first!], 60_000);
      assert.ok((await job(id)).runAt >= lease, 'a sign of life');
      await set(id, 'run_at = run_at - 61000');
      const [second] = await jobs.claim(other, 'second', 60_000, 5);
      assert.deepEqual([second!.id, second!.attempt], [id, 2]);
      assert.equal(await jobs.finish(db, first!, 'done'), false);
      assert.equal(await jobs.postpone(db, first!, 0, 'late'), false);
      assert.equal(await jobs.giveBack(db, first!), false);
      assert.equal((await job(id)).state, 'running');
      assert.equal(await jobs.finish(other, second!, 'done'), true);
      assert.equal((await job(id)).state, 'done');
      // The same worker, after its own lease ran out: the earlier attempt is lost as well.
      const again = await put('y');
      const [slow] = await jobs.claim(db, 'first', 60_000, 5);
      await set(again, 'run_at = 0');
      const [quick] = await jobs.claim(db, 'first', 60_000, 5);
      assert.equal(await jobs.finish(db, slow!, 'done'), false);
      assert.equal(await jobs.finish(db, quick!, 'done'), true);
    }));

    test('a worker gives signs of life while a handler runs', within(async ({ put, worker, seen }) => {
      let release = (): void => {};
      worker(greet(() => new Promise((resolve) => (release = resolve))), { leaseMs: 6_000 });
      const id = await put('x');
      const { runAt } = await seen(id, 'the attempt', ({ state }) => state === 'running');
      const extended = await seen(id, 'a longer lease', (each) => each.runAt > runAt);
      assert.deepEqual([extended.state, extended.attempts], ['running', 1]);
      release();
      await seen(id, 'the end', isDone);
    }));

    test('a job that kills its workers dies without another call', within(async ({ put, worker, seen, set }) => {
      const id = await put('poison');
      await set(id, "attempts = 3, state = 'running', claim = 'gone', run_at = 0");
      worker(greet(async () => assert.fail('was called')));
      const dead = await seen(id, 'death', ({ state }) => state === 'dead');
      assert.equal(dead.lastError, 'its workers died');
    }));

    test('of a key there is one job at a time, and none in the quiet after it', within(async ({ db, put, job, set }) => {
      const once = { key: 'a', quietMs: 60_000 };
      const ids = await Promise.all([1, 2, 3, 4, 5].map((i) => put(`${i}`, { once })));
      const found = async () => (await jobs.list(db, { after: undefined, limit: 99, state: undefined })).length;
      assert.equal(await found(), 1);
      await put('x', { once: { key: 'b', quietMs: 60_000 } });
      assert.equal(await found(), 2);
      const kept = (await Promise.all(ids.map((id) => job(id)))).find((each) => each !== undefined)!.id;
      await set(kept, "state = 'done', finished_at = run_at");
      await put('x', { once });
      assert.equal(await found(), 2);
      await set(kept, 'finished_at = finished_at - 60001');
      await put('x', { once });
      assert.equal(await found(), 3);
    }));

    test('recurring tasks run once a period, however many workers there are', within(async ({ db, other, worker }) => {
      let calls = 0;
      const tick = task({ kind: 'tick', payload: object({}), maxAttempts: 1, every: 3_600_000, handler: async () => void calls++ });
      const clocks = [0, 0, 0];
      const workers = clocks.map((_, i) => worker(tick, { db: i === 1 ? other : db, monotonic: () => clocks[i]! }));
      const turn = (ns: number): void => {
        clocks.fill(ns);
        for (const each of workers) each.wake();
      };
      const ticks = () => jobs.list(db, { after: undefined, limit: 9, state: 'done' });
      turn(60e9);
      await eventually('the first', async () => ((await ticks()).length === 1 ? true : undefined));
      turn(3_700e9);
      await sleep(200);
      assert.equal((await jobs.list(db, { after: undefined, limit: 9, state: undefined })).length, 1, 'the period is the database’s');
      await db.write([{ sql: 'UPDATE jobs SET finished_at = finished_at - 3600001', params: [] }]);
      turn(4_100e9);
      await eventually('the second, not only after another period', async () =>
        (await ticks()).length === 2 ? true : undefined);
      assert.equal(calls, 2);
    }));

    test('a stop lets a job finish', within(async ({ put, worker, job, outcomes }) => {
      const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const busy = worker(greet(() => (begun.resolve(), gate.promise)));
      const id = await put('x');
      await begun.promise;
      const stopped = busy.stop(10_000);
      const late = await put('y');
      gate.resolve();
      await stopped;
      assert.deepEqual(outcomes, ['greet done']);
      assert.deepEqual([(await job(id)).state, (await job(id)).attempts], ['done', 1]);
      assert.deepEqual([(await job(late)).state, (await job(late)).attempts], ['queued', 0]);
    }));

    test('what was being claimed while a stop came is not begun', within(async ({ db, put, worker, job, outcomes }) => {
      const id = await put('x');
      let stopped: Promise<void> | undefined;
      const overtaken: Database = {
        ...db,
        async write(statements) {
          const done = await db.write(statements);
          stopped ??= late.stop(10_000);
          return done;
        },
      };
      let begun = 0;
      const late = worker(greet(async () => void begun++), { db: overtaken });
      await eventually('the claim', () => stopped && true);
      await stopped;
      assert.deepEqual([begun, outcomes], [0, ['greet returned']]);
      assert.deepEqual([(await job(id)).state, (await job(id)).attempts], ['queued', 0]);
    }));

    test('what a stop breaks off goes back and counts as no attempt', within(async ({ put, worker, job, outcomes }) => {
      const begun = Promise.withResolvers<void>();
      const polite = worker(greet(({ signal }) => new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        begun.resolve();
      })));
      const id = await put('x');
      await begun.promise;
      await polite.stop(10_000);
      assert.deepEqual(outcomes, ['greet returned']);
      assert.deepEqual([(await job(id)).state, (await job(id)).attempts], ['queued', 0]);

      const again = Promise.withResolvers<void>();
      const stubborn = worker(greet(() => new Promise(() => again.resolve())));
      await again.promise;
      await stubborn.stop(1);
      assert.deepEqual([(await job(id)).state, (await job(id)).attempts], ['queued', 0]);
    }));

    test('an idle worker reads now and then and writes nothing; it is woken', within(async ({ db, put, worker, seen }) => {
      let [reads, writes] = [0, 0];
      const counted: Database = {
        ...db,
        one: (sql, params) => (reads++, db.one(sql, params)),
        write: (statements) => (writes++, db.write(statements)),
      };
      worker(greet(async () => {}), { db: counted, pollMs: 20 });
      await eventually('three looks', () => (reads >= 3 ? true : undefined));
      assert.equal(writes, 0);
      const patient = worker(greet(async () => {}), { db: counted, pollMs: 3_600_000 });
      await eventually('a look', () => (reads > 3 ? true : undefined));
      const id = await put('x');
      patient.wake();
      await seen(id, 'the end', isDone);
    }));

    test('while the database fails, jobs wait', within(async ({ db, put, worker, seen }) => {
      let away = true;
      let refused = 0;
      const flaky: Database = {
        ...db,
        one: (sql, params) => {
          if (away) refused++;
          return away ? Promise.reject(new Error('away')) : db.one(sql, params);
        },
      };
      worker(greet(async () => {}), { db: flaky, pollMs: 10 });
      const id = await put('x');
      await eventually('refusals', () => (refused > 2 ? true : undefined));
      away = false;
      await seen(id, 'the end', isDone);
    }));
  });
}
