import { describe } from 'node:test';

import { RedisStore } from '../../src/core/rate_limit_redis.ts';
import { openTurnedRedis } from '../helpers/redis_clock.ts';
import { bucketStoreSuite } from './bucket_store_suite.ts';

const without = process.env['TEST_REDIS_URL'] === undefined && 'TEST_REDIS_URL is not set';

describe('by a clock that the tests turn', { skip: without }, () => {
  bucketStoreSuite('RedisStore', async () => {
    let now = 0;
    const store = new RedisStore(await openTurnedRedis(() => now));
    return { store, advance: (ns) => void (now += ns) };
  });
});
