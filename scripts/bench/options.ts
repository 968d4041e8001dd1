import { parseArgs } from 'node:util';

export const help = `Usage: npm run bench -- [options]

  --rounds N           interleaved rounds; the table has their medians (3)
  --duration S         seconds of each load (4)
  --only a,b           of start, memory, ping, me, refresh, login, flood, metrics (all of these), and by name only:
                       limiter, what a take costs, with a million clients too, and its longest pause;
                       scale, reads of a SQLite database of a million users and sessions beside those of one of 1,000;
                       limiter-redis, our takes beside redis-benchmark on the Redis of --redis;
                       postgres, our SELECT beside the bare bytes of the protocol on --database
  --set NAME=VALUE     a setting of the server; any number of times
  --workers N, --database URL, --redis URL
                       the same for WORKERS, DATABASE_URL (it must be empty: it is filled) and REDIS_URL
  --no-wrk             use the load process that comes with this, even where wrk is installed
  --json               print JSON
  --help

The server (src/main.ts, its log lines written to /dev/null) and node:http answering a constant run on the first core,
the load on the second (with taskset). The one that is not measured is stopped meanwhile. "in cpu" is the ratio of
processor time for a request, "cpu µs" that time; they move less than the rates when the machine has other work, or
when the load is slower than a bare node:http. A load that other processes disturb is measured again, a few times.
`;

export const measureNames = ['start', 'memory', 'ping', 'me', 'refresh', 'login', 'flood', 'metrics'] as const;
/** Parts by themselves, without the server. */
export const partNames = ['limiter', 'scale', 'limiter-redis', 'postgres'] as const;
export type Name = (typeof measureNames)[number] | (typeof partNames)[number];

/** Throws an Error with one sentence when an option is wrong. */
export function readOptions() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' }, duration: { type: 'string', default: '4' }, only: { type: 'string' },
      set: { type: 'string', multiple: true, default: [] }, workers: { type: 'string' }, database: { type: 'string' },
      redis: { type: 'string' }, 'no-wrk': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
    },
  });
  const [rounds, duration] = [Number(values.rounds), Number(values.duration)];
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds: a whole number from 1');
  if (!Number.isInteger(duration) || duration < 1) throw new Error('--duration: whole seconds from 1');
  const names = values.only?.split(',') ?? [...measureNames];
  const known: readonly string[] = [...measureNames, ...partNames];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--only: '${unknown}' is none of ${known.join(', ')}`);
  const settings = Object.fromEntries(values.set.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new Error(`--set: NAME=VALUE, not '${pair}'`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
  const { workers, database, redis } = values;
  if (names.includes('limiter-redis') && redis === undefined) throw new Error('limiter-redis: --redis URL is missing');
  if (names.includes('postgres') && database === undefined) throw new Error('postgres: --database URL is missing');
  if (workers !== undefined) settings['WORKERS'] = workers;
  if (database !== undefined) settings['DATABASE_URL'] = database;
  if (redis !== undefined) settings['REDIS_URL'] = redis;
  return { ...values, rounds, duration, names, settings };
}
