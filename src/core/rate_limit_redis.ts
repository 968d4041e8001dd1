import { hash } from 'node:crypto';
import type { BucketStore, Policy, Take, Taken } from './rate_limit.ts';

/** What the store needs of a Redis client. An error reply rejects with an error whose `code` is its first word. */
export interface ScriptRunner {
  call(args: readonly string[]): Promise<unknown>;
  close(): Promise<void>;
}

/**
 * Both scripts. A key holds one integer, the moment at which its bucket is next full: nanoseconds since 1970 on Redis'
 * clock, in digits. A number in Lua is a double and cannot hold that, so seconds and nanoseconds are read apart; what
 * is left until then is exact up to 2^53 ns, which is 104 days. When Redis' clock steps back, a bucket is at most
 * empty. A key expires when its bucket is full. ARGV has cost and span (see Policy) for each key.
 */
const common = `
local time = redis.call('TIME')
local second, nanosecond = tonumber(time[1]), tonumber(time[2]) * 1000

local function until_full(key, span)
  local full_at = redis.call('GET', key)
  if not full_at then return 0 end
  local left = (tonumber(full_at:sub(1, -10)) - second) * 1e9 + tonumber(full_at:sub(-9)) - nanosecond
  return math.max(0, math.min(span, left))
end

local function keep(key, left)
  local at = nanosecond + left
  local full_at = string.format('%d%09d', second + math.floor(at / 1e9), at % 1e9)
  redis.call('SET', key, full_at, 'PX', string.format('%d', math.ceil(left / 1e6)))
end
`;

/** Answers as `Taken`: the index of the first bucket that holds less than a token, or -1; then each's `untilFull`. */
const takeScript = toScript(`${common}
local answer = {-1}
for i, key in ipairs(KEYS) do
  local cost, span = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local left = until_full(key, span)
  if answer[1] < 0 and left + cost > span then answer[1] = i - 1 end
  answer[i + 1] = left
end
if answer[1] >= 0 then return answer end
for i, key in ipairs(KEYS) do
  answer[i + 1] = answer[i + 1] + tonumber(ARGV[2 * i - 1])
  keep(key, answer[i + 1])
end
return answer
`);

const giveBackScript = toScript(`${common}
local left = until_full(KEYS[1], tonumber(ARGV[2])) - tonumber(ARGV[1])
if left > 0 then keep(KEYS[1], left) else redis.call('DEL', KEYS[1]) end
return 0
`);

interface Script {
  text: string;
  /** SHA-1 of the text, hexadecimal: the name under which Redis remembers it until it restarts. */
  sha: string;
}

function toScript(text: string): Script {
  return { text, sha: hash('sha1', text) };
}

/**
 * Buckets in a Redis (5 or newer), shared by every instance that uses it, on Redis' clock. Keys are
 * `rl:<policy>:<limit>/<windowMs>:<key>`: a policy whose numbers were changed starts with full buckets, and instances
 * with old and new settings do not read each other's. Every call rejects when Redis cannot answer it.
 */
export class RedisStore implements BucketStore {
  readonly #redis: ScriptRunner;

  /** The client is the store's from now on: `close` closes it. */
  constructor(redis: ScriptRunner) {
    this.#redis = redis;
  }

  async take(takes: readonly Take[]): Promise<Taken> {
    const answer = await this.#run(takeScript, takes);
    const [refused, ...untilFull] = Array.isArray(answer) ? answer.map(Number) : [];
    if (refused === undefined || untilFull.length !== takes.length || !untilFull.every(Number.isFinite)) {
      throw new Error('Redis gave an answer that the script cannot give');
    }
    return { refused, untilFull };
  }

  async giveBack(take: Take): Promise<void> {
    await this.#run(giveBackScript, [take]);
  }

  close(): Promise<void> {
    return this.#redis.close();
  }

  /** By name; a Redis that has restarted since does not know the name and gets the text, once. */
  async #run({ text, sha }: Script, takes: readonly Take[]): Promise<unknown> {
    const rest = [String(takes.length), ...takes.map(toKey), ...takes.flatMap(toArguments)];
    try {
      return await this.#redis.call(['EVALSHA', sha, ...rest]);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'NOSCRIPT') throw error;
      return this.#redis.call(['EVAL', text, ...rest]);
    }
  }
}

const toKey = ({ policy, key }: Take): string => `rl:${policy.name}:${policy.limit}/${policy.windowMs}:${key}`;
const toArguments = ({ policy }: { policy: Policy }): string[] => [String(policy.cost), String(policy.span)];
