import * as accountTokens from '../db/account_tokens.ts';
import * as exports from '../db/exports.ts';
import * as jobs from '../db/jobs.ts';
import * as sessions from '../db/sessions.ts';
import { object } from '../http/schema.ts';
import { task } from './task.ts';

/** Rows in one write, few enough that the writes of requests come between. */
const BATCH = 500;
/** Likewise of chunks, which are large. */
const CHUNK_BATCH = 20;
const DONE_KEPT_MS = 3_600_000;
const DEAD_KEPT_MS = 30 * 24 * 3_600_000;

/** Forgets what is over: the database grows no larger than what lives in it. */
export const purgeExpired = task({
  kind: 'purge.expired',
  payload: object({}),
  maxAttempts: 3,
  every: 600_000,
  async handler({ db, now, signal, onPurged }) {
    const all = async (what: string, batch: number, purge: (limit: number) => Promise<number>): Promise<void> => {
      let purged = batch;
      while (purged === batch) {
        signal.throwIfAborted();
        purged = await purge(batch);
        onPurged(what, purged);
      }
    };
    await all('sessions', BATCH, (limit) => sessions.purgeExpired(db, now(), limit));
    await all('account_tokens', BATCH, (limit) => accountTokens.purge(db, now(), limit));
    await all('done_jobs', BATCH, (limit) => jobs.purge(db, 'done', DONE_KEPT_MS, limit));
    await all('dead_jobs', BATCH, (limit) => jobs.purge(db, 'dead', DEAD_KEPT_MS, limit));
    await all('export_chunks', CHUNK_BATCH, (limit) => exports.purge(db, now(), limit));
  },
});
