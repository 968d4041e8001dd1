import type { Database } from './database.ts';
import { purgeExpired } from './sessions.ts';

export interface PurgeOptions {
  db: Database;
  /** Wall time, ms. */
  now(): number;
  /** Told of every batch that was deleted. */
  onPurged(sessions: number): void;
  onFault(error: unknown): void;
}

export interface Purge {
  /** Deletes all that has expired by now; never rejects. */
  run(): Promise<void>;
  /** Ends with the batch that is being deleted. */
  close(): Promise<void>;
}

const EVERY_MS = 60_000;
/** Small, so that the writes of requests come between. */
const BATCH = 500;

/** Deletes expired sessions every minute; the timer does not keep the process alive. */
export function openPurge({ db, now, onPurged, onFault }: PurgeOptions): Purge {
  let closed = false;
  let running: Promise<void> | undefined;

  async function purge(): Promise<void> {
    try {
      let purged = BATCH;
      while (purged === BATCH && !closed) {
        purged = await purgeExpired(db, now(), BATCH);
        onPurged(purged);
      }
    } catch (error) {
      onFault(error);
    } finally {
      running = undefined;
    }
  }

  const run = (): Promise<void> => (running ??= purge());
  const timer = setInterval(run, EVERY_MS).unref();

  return {
    run,
    async close() {
      closed = true;
      clearInterval(timer);
      await running;
    },
  };
}
