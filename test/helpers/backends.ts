import type { Config } from '../../src/core/config.ts';
import { RedisStore } from '../../src/core/rate_limit_redis.ts';
import type { BucketStore } from '../../src/core/rate_limit.ts';
import type { Database } from '../../src/db/database.ts';
import { openPostgres } from '../../src/db/postgres.ts';
import { openDatabase } from '../../src/db/session.ts';
import type { Clock } from './clock.ts';
import { createDatabase } from './postgres.ts';
import type { FreshDatabase } from './postgres.ts';
import { openTurnedRedis } from './redis_clock.ts';

/** A server that is started again in a folder finds its database again. */
const databases = new Map<string, Promise<FreshDatabase>>();

/** The Postgres database of a server's folder, if it has one. */
export const databaseOf = async (folder: string): Promise<string | undefined> => (await databases.get(folder))?.url;

export interface Backends {
  db: Database;
  sharedBuckets: BucketStore | undefined;
  drop(): Promise<void>;
}

const wanted = process.env['TEST_BACKENDS']?.split(',') ?? [];
export const usesPostgres = wanted.includes('postgres');

/**
 * What a test's server keeps its data in: what its settings say, but with TEST_BACKENDS=postgres,redis a database of
 * the folder's own on TEST_POSTGRES_URL, and buckets in TEST_REDIS_URL. Without a folder it is the settings' database.
 */
export async function openBackends(config: Config, clock: Clock, folder: string | undefined): Promise<Backends> {
  const monotonic = (): number => performance.now() * 1e6;
  if (usesPostgres && folder !== undefined && !databases.has(folder)) {
    databases.set(folder, createDatabase());
  }
  const fresh = await databases.get(folder ?? '');
  const redis = wanted.includes('redis') ? await openTurnedRedis(clock.monotonic) : undefined;
  return {
    db: fresh === undefined
      ? await openDatabase(config, { monotonic })
      : openPostgres({ url: fresh.url, poolMax: 4, now: () => performance.now(), timeoutMs: 60_000 }),
    sharedBuckets: redis === undefined ? undefined : new RedisStore(redis),
    drop: async () => fresh?.drop(),
  };
}
