import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ScriptRunner } from '../../src/core/rate_limit_redis.ts';
import { openRedis } from '../../src/wire/redis.ts';
import { RedisError } from '../../src/wire/resp.ts';
import { now } from './redis.ts';

/** What stands in the scripts, and in its stead: the clock of the test, and keys that real time does not expire. */
const turns: [from: string, to: string][] = [
  ["redis.call('TIME')", '{ARGV[#ARGV - 1], ARGV[#ARGV]}'],
  ['tonumber(time[2]) * 1000', 'tonumber(time[2])'],
  [", 'PX', string.format('%d', math.ceil(left / 1e6)))", ')'],
];

/** Runs the store's scripts on TEST_REDIS_URL by a clock turned by hand (nanoseconds), on keys of its own. */
export async function openTurnedRedis(clock: () => number): Promise<ScriptRunner> {
  const url = process.env['TEST_REDIS_URL'];
  assert.ok(url !== undefined, 'TEST_REDIS_URL is not set');
  const redis = await openRedis({ url, now, random: () => 0, deadlineMs: 20_000, connectMs: 20_000 });
  const own = `turned:${randomUUID()}:`;
  // Far enough from zero that the clock may step back.
  const start = 1_000_000_000;
  return {
    async call([command, script = '', count = '0', ...rest]) {
      if (command === 'EVALSHA') throw new RedisError('NOSCRIPT the text is needed');
      const text = turns.reduce((text, [from, to]) => {
        assert.ok(text.includes(from), `the script has no ${from}`);
        return text.replace(from, to);
      }, script);
      const keys = rest.slice(0, Number(count)).map((key) => own + key);
      const time = clock();
      const [second, nanosecond] = [start + Math.floor(time / 1e9), ((time % 1e9) + 1e9) % 1e9];
      const values = [...rest.slice(Number(count)), String(second), String(nanosecond)];
      return redis.call(['EVAL', text, count, ...keys, ...values]);
    },
    async close() {
      const names = (await redis.call(['KEYS', `${own}*`])) as string[];
      if (names.length > 0) await redis.call(['DEL', ...names]);
      await redis.close();
    },
  };
}
