import { RedisStore } from '../core/rate_limit_redis.ts';
import { openRedis } from './redis.ts';

/**
 * The limiter's buckets in the Redis of `url`; `monotonic` is in nanoseconds. While Redis is away every call rejects,
 * and the client connects again in the background.
 */
export async function openRedisBuckets(url: string, monotonic: () => number): Promise<RedisStore> {
  return new RedisStore(await openRedis({ url, now: monotonic, random: Math.random }));
}
