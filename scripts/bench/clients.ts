import { execFile } from 'node:child_process';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';

import { policy } from '../../src/core/rate_limit.ts';
import { RedisStore } from '../../src/core/rate_limit_redis.ts';
import { openPostgres } from '../../src/db/postgres.ts';
import { openSession } from '../../src/wire/postgres_startup.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { MessageWriter } from '../../src/wire/postgres_writer.ts';
import { openRedis } from '../../src/wire/redis.ts';
import { toRedisTarget } from '../../src/wire/redis_target.ts';
import type { Machine } from './machine.ts';
import { figure, median, ratios } from './report.ts';
import type { Report } from './report.ts';

const run = promisify(execFile);
const callers = { redis: 64, postgres: 4 };
const goals = { redis: { goal: 0.5, aim: 0.7 }, postgres: { goal: 0.6, aim: 0.75 } };

export interface ClientBench {
  machine: Machine;
  rounds: number;
  /** Of each run. */
  seconds: number;
  report: Report;
  say: (text: string) => void;
}

interface Rate {
  perSecond: number;
  /** Of this process. */
  cpuMicros: number;
}

/** `callers` that each ask again when they are answered. */
async function rateOf(callers: number, seconds: number, ask: (caller: number) => Promise<unknown>): Promise<Rate> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  let asked = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (; performance.now() - began < seconds * 1000; asked += 1) await ask(caller);
    }),
  );
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: asked / ((performance.now() - began) / 1000), cpuMicros: (user + system) / asked };
}

/** Takes of our limiter, all on one connection, beside redis-benchmark with the same script and as many in flight. */
export async function compareRedis({ machine, rounds, seconds, report, say }: ClientBench, url: string): Promise<void> {
  const now = (): number => performance.now() * 1e6;
  const redis = await openRedis({ url, now, random: Math.random, deadlineMs: 5000 });
  let evalsha: readonly string[] = [];
  const store = new RedisStore({
    call(args) {
      if (evalsha.length === 0) evalsha = args;
      return redis.call(args);
    },
    close: () => redis.close(),
  });
  const take = [{ policy: policy('bench', { limit: 1_000_000_000, windowMs: 60_000 }), key: '192.0.2.1' }];
  await store.take(take);
  const { host, port } = toRedisTarget(url);
  const target = ['-h', host, '-p', String(port), '-c', '1', '-P', String(callers.redis), '--csv'];

  const [floors, rates]: [number[], Rate[]] = [[], []];
  for (let round = 0; round <= rounds; round += 1) {
    const rate = await rateOf(callers.redis, seconds, () => Promise.resolve(store.take(take)));
    const count = String(Math.round(rate.perSecond * seconds));
    const [file, args] = machine.pin('load', ['redis-benchmark', ...target, '-n', count, ...evalsha]);
    const { stdout } = await run(file, args);
    const floor = Number(/^"EVALSHA[^\n]*?","([\d.]+)"/m.exec(stdout)?.[1]);
    if (!Number.isFinite(floor)) throw new Error(`redis-benchmark said: ${stdout}`);
    if (round === 0) continue;
    floors.push(floor);
    rates.push(rate);
    say(`limiter-redis ${round}/${rounds}: redis-benchmark ${figure(floor)}/s, ours ${figure(rate.perSecond)}/s`);
  }
  await store.close();
  report.measures.push({
    name: 'take in Redis',
    floor: `${figure(median(floors))}/s`,
    server: `${figure(median(rates.map(({ perSecond }) => perSecond)))}/s`,
    ...ratios(rates.map(({ perSecond }, i) => perSecond / floors[i]!), 'least', goals.redis),
    serverCpuMicros: median(rates.map(({ cpuMicros }) => cpuMicros)),
  });
}

const sql = 'SELECT $1::text, $2::bigint, $3::text';
const params = ['0198d2c8-0000-7000-8000-000000000000', 1_769_860_800_250, null];

/** A connection that has parsed the statement, and asks for it in bytes made once; answers are not looked into. */
async function openBare(url: string): Promise<{ ask(): Promise<void>; close(): void }> {
  const { socket } = await openSession(toPostgresAddress(url), 5000);
  await exchange(socket, new MessageWriter().parse('s', sql).sync().take());
  const question = Buffer.from(new MessageWriter().execute('s', params).sync().take());
  return { ask: () => exchange(socket, question), close: () => socket.destroy() };
}

/** Resolves when the server is ready again: every answer ends so, in five bytes behind a `Z`. */
function exchange(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      if (chunk.at(-6) !== 0x5a) return;
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
    socket.resume();
    socket.write(bytes);
  });
}

/** A SELECT by our client beside the same bytes on the same number of connections. */
export async function comparePostgres({ rounds, seconds, report, say }: ClientBench, url: string): Promise<void> {
  const db = openPostgres({ url, poolMax: callers.postgres, now: () => performance.now() });
  const bare = await Promise.all(Array.from({ length: callers.postgres }, () => openBare(url)));
  const [floors, rates]: [Rate[], Rate[]] = [[], []];
  for (let round = 0; round <= rounds; round += 1) {
    const floor = await rateOf(callers.postgres, seconds, (caller) => bare[caller]!.ask());
    const rate = await rateOf(callers.postgres, seconds, async () => db.one(sql, params));
    if (round === 0) continue;
    floors.push(floor);
    rates.push(rate);
    say(`postgres ${round}/${rounds}: bytes ${figure(floor.perSecond)}/s, ours ${figure(rate.perSecond)}/s`);
  }
  for (const connection of bare) connection.close();
  await db.close();
  report.measures.push({
    name: 'SELECT in Postgres',
    floor: `${figure(median(floors.map(({ perSecond }) => perSecond)))}/s`,
    server: `${figure(median(rates.map(({ perSecond }) => perSecond)))}/s`,
    ...ratios(rates.map(({ perSecond }, i) => perSecond / floors[i]!.perSecond), 'least', goals.postgres),
    cpuRatio: median(rates.map(({ cpuMicros }, i) => floors[i]!.cpuMicros / cpuMicros)),
    serverCpuMicros: median(rates.map(({ cpuMicros }) => cpuMicros)),
  });
}
