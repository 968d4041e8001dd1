import * as accountTokens from '../db/account_tokens.ts';
import * as exports from '../db/exports.ts';
import * as jobs from '../db/jobs.ts';
import * as sessions from '../db/sessions.ts';
import { object } from '../http/schema.ts';
import { task } from './task.ts';

/** Rows in one write: others wait for it. */
const BATCH = 500;
/** Likewise of chunks, which are large. */
const CHUNK_BATCH = 20;
const DONE_KEPT_MS = 3_600_000;
const DEAD_KEPT_MS = 30 * 24 * 3_600_000;

/** Forgets what is over. */
export const purgeExpired = task({
  kind: 'purge.expired',
  payload: object({}),
  maxAttempts: 3,
  every: 600_000,
  async handler({ db, now, signal, log }) {
    /** Until a batch is not full; how many in all. */
    const all = async (batch: number, purge: (limit: number) => Promise<number>): Promise<number> => {
      let purged = 0;
      for (let count = batch; count === batch; purged += count) {
        signal.throwIfAborted();
        count = await purge(batch);
      }
      return purged;
    };
    log.info('purged', {
      sessions: await all(BATCH, (limit) => sessions.purgeExpired(db, now(), limit)),
      account_keys: await all(BATCH, (limit) => accountTokens.purge(db, now(), limit)),
      done_jobs: await all(BATCH, (limit) => jobs.purge(db, 'done', DONE_KEPT_MS, limit)),
      dead_jobs: await all(BATCH, (limit) => jobs.purge(db, 'dead', DEAD_KEPT_MS, limit)),
      export_chunks: await all(CHUNK_BATCH, (limit) => exports.purge(db, now(), limit)),
    });
  },
});
