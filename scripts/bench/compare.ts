import { setTimeout as sleep } from 'node:timers/promises';

import { createRegistry } from '../../src/telemetry/metrics.ts';
import { createServerMetrics } from '../../src/telemetry/server_metrics.ts';
import type { Accounts } from './accounts.ts';
import type { Load, LoadResult } from './load.ts';
import { generate, hashFloor, undisturbed } from './machine.ts';
import type { Machine } from './machine.ts';
import { figure, median, ratios } from './report.ts';
import type { Report } from './report.ts';
import type { Target } from './target.ts';

/** What each measure is to reach: first the goal, then the aim. */
const goals = {
  ping: { goal: 0.75, aim: 0.85 },
  me: { goal: 0.45, aim: 0.75 },
  refresh: { goal: 0.12, aim: 0.22 },
  login: { goal: 0.95, aim: 0.98 },
  floodP99: { goal: 4, aim: 1.5 },
  floodLogins: { goal: 0.9, aim: 0.9 },
  start: { goal: 2.5, aim: 1.6 },
  memoryIdle: { goal: 1.4, aim: 1.25 },
  memoryAfter: { goal: 1.4, aim: 1.25 },
  metricsMicros: { goal: 0.3, aim: 0.3 },
};

export const connections = { ping: 32, me: 32, refresh: 64, login: 8, flood: 4 };
/** How often each is started. */
const starts = 7;

/** What every comparison works with. Each adds its lines to `report.measures`. */
export interface Bench {
  machine: Machine;
  bare: Target;
  server: Target;
  accounts: Accounts;
  rounds: number;
  duration: number;
  report: Report;
  say: (text: string) => void;
}

/** One run of one load against one target, the others frozen. */
interface Run extends LoadResult {
  perSecond: number;
  cpuMicros: number;
}

/** `load` is asked again for each attempt: refresh tokens are good for one. */
async function measure(
  bench: Bench,
  target: Target,
  what: string,
  load: () => Omit<Load, 'port'>,
): Promise<Run> {
  only(bench, target);
  const run = await quietly(bench, what, async () => {
    const before = target.cpuSeconds();
    const result = await generate(bench.machine, { ...load(), port: target.port });
    return { ...result, cpuMicros: ((target.cpuSeconds() - before) * 1e6) / result.requests };
  });
  flag(bench, target, what, run);
  return { ...run, perSecond: run.requests / run.seconds };
}

async function quietly<T>({ machine, bare, server, report }: Bench, what: string, run: () => Promise<T>): Promise<T> {
  const { result, disturbed } = await undisturbed(machine, [bare.pid(), server.pid()], run);
  if (disturbed && !report.disturbed.includes(what)) report.disturbed.push(what);
  return result;
}

function flag({ report }: Bench, { name }: Target, what: string, { requests, non2xx, socketErrors }: LoadResult): void {
  if (requests === 0) report.flagged.push(`${what}, ${name}: no answer in time`);
  if (non2xx > 0) report.flagged.push(`${what}, ${name}: ${non2xx} of ${requests} answers were not 2xx`);
  if (socketErrors > 0) report.flagged.push(`${what}, ${name}: ${socketErrors} connections broke`);
}

function only({ bare, server }: Bench, target: Target): void {
  for (const one of [bare, server]) if (one !== target) one.freeze();
  target.thaw();
}

const over = (above: readonly number[], below: readonly number[]): number[] =>
  above.map((value, i) => value / (below[i] ?? NaN));

/** Requests a second, server against bare, in turns. */
export async function compareRates(bench: Bench, name: 'ping' | 'me' | 'refresh'): Promise<void> {
  const { rounds, bare, server, accounts, report, say } = bench;
  const runs: { bare: Run[]; server: Run[] } = { bare: [], server: [] };
  const request = { ping: pingLoad, me: meLoad(accounts), refresh: refreshLoad }[name];
  const refreshToken = JSON.stringify({ refresh_token: 'x'.repeat(300) });
  for (let round = 0; round <= rounds; round += 1) {
    // The first round warms both up and is not counted.
    const seconds = round === 0 ? Math.min(2, bench.duration) : bench.duration;
    const load = { ...request, connections: connections[name], seconds };
    const bareRun = await measure(bench, bare, name, () =>
      ({ ...load, ...(name === 'refresh' ? { body: refreshToken } : {}) }));
    const run = await measure(bench, server, name, () =>
      ({ ...load, ...(name === 'refresh' ? { tokensFile: accounts.nextTokens() } : {}) }));
    if (round === 0) continue;
    runs.bare.push(bareRun);
    runs.server.push(run);
    say(`${name} ${round}/${rounds}: bare ${figure(bareRun.perSecond)}/s, server ${figure(run.perSecond)}/s`);
  }
  const rate = (of: Run[]): number[] => of.map(({ perSecond }) => perSecond);
  const cpu = (of: Run[]): number[] => of.map(({ cpuMicros }) => cpuMicros);
  report.measures.push({
    name: name === 'ping' ? 'ping' : name === 'me' ? 'users/me' : 'refresh, rotating',
    floor: `${figure(median(rate(runs.bare)))}/s`,
    server: `${figure(median(rate(runs.server)))}/s`,
    ...ratios(over(rate(runs.server), rate(runs.bare)), 'least', goals[name]),
    cpuRatio: median(over(cpu(runs.bare), cpu(runs.server))),
    serverCpuMicros: median(cpu(runs.server)),
  });
}

const json = { 'Content-Type': 'application/json' };
const pingLoad = { method: 'GET' as const, path: '/api/v1/public/ping', headers: {} };
const refreshLoad = { method: 'POST' as const, path: '/api/v1/auth/refresh', headers: json };
const meLoad = ({ accessToken }: Accounts) =>
  ({ method: 'GET' as const, path: '/api/v1/users/me', headers: { Authorization: `Bearer ${accessToken}` } });
const loginLoad = ({ credentials }: Accounts) =>
  ({ method: 'POST' as const, path: '/api/v1/auth/login', headers: json, body: credentials });

export async function compareLogin(bench: Bench): Promise<number> {
  const { server, bare, machine, rounds, duration, accounts, report, say } = bench;
  const load = { ...loginLoad(accounts), connections: connections.login, seconds: Math.max(duration, 5) };
  const floors: number[] = [];
  const rates: number[] = [];
  // The first login makes a new hash with the parameters of now.
  await measure(bench, server, 'login', () => ({ ...load, connections: 1, seconds: 1 }));
  for (let round = 1; round <= rounds; round += 1) {
    server.freeze();
    bare.freeze();
    floors.push(await quietly(bench, 'raw scrypt', () => hashFloor(machine, load.seconds)));
    rates.push((await measure(bench, server, 'login', () => load)).perSecond);
    say(`login ${round}/${rounds}: raw scrypt ${figure(floors.at(-1) ?? 0)}/s, server ${figure(rates.at(-1) ?? 0)}/s`);
  }
  report.measures.push({
    name: 'login, to raw scrypt',
    floor: `${figure(median(floors))}/s`,
    server: `${figure(median(rates))}/s`,
    ...ratios(over(rates, floors), 'least', goals.login),
  });
  return median(rates);
}

/** `users/me` alone and while clients log in without pause. */
export async function compareFlood(bench: Bench, loginRate: number): Promise<void> {
  const { server, machine, rounds, accounts, report, say } = bench;
  const seconds = Math.max(bench.duration, 8);
  const load = { ...meLoad(accounts), connections: connections.me, seconds };
  const flood = { ...loginLoad(accounts), port: server.port, connections: connections.flood, seconds: seconds + 1 };
  const p99: { quiet: number[]; flooded: number[] } = { quiet: [], flooded: [] };
  const logins: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const quiet = await measure(bench, server, 'users/me', () => load);
    const { flooded, beside } = await quietly(bench, 'users/me under logins', async () => {
      const running = generate(machine, flood);
      await sleep(500);
      const flooded = await generate(machine, { ...load, port: server.port });
      return { flooded, beside: await running };
    });
    flag(bench, server, 'users/me under logins', flooded);
    if (beside.requests > 0) flag(bench, server, 'login beside users/me', beside);
    p99.quiet.push(quiet.p99Ms);
    p99.flooded.push(flooded.p99Ms);
    logins.push(beside.requests === 0 ? 0 : beside.requests / beside.seconds);
    say(`flood ${round}/${rounds}: p99 ${figure(quiet.p99Ms)} ms, under logins ${figure(flooded.p99Ms)} ms`);
  }
  report.measures.push({
    name: 'users/me p99 under logins',
    floor: `${figure(median(p99.quiet))} ms`,
    server: `${figure(median(p99.flooded))} ms`,
    ...ratios(over(p99.flooded, p99.quiet), 'most', goals.floodP99),
  });
  if (Number.isNaN(loginRate)) return;
  report.measures.push({
    name: 'logins beside users/me',
    floor: `${figure(loginRate)}/s`,
    server: `${figure(median(logins))}/s`,
    ...ratios(logins.map((rate) => rate / loginRate), 'least', goals.floodLogins),
  });
}

export async function compareStarts({ bare, server, report, say }: Bench): Promise<void> {
  const times: { bare: number[]; server: number[] } = { bare: [], server: [] };
  for (let i = 0; i < starts; i += 1) {
    for (const [name, target] of [['bare', bare], ['server', server]] as const) {
      times[name].push(await target.start());
      await target.stop();
    }
  }
  say(`start: bare ${figure(median(times.bare))} ms, server ${figure(median(times.server))} ms`);
  report.measures.push({
    name: 'first answer after spawn',
    floor: `${figure(median(times.bare))} ms`,
    server: `${figure(median(times.server))} ms`,
    ...ratios(over(times.server, times.bare), 'most', goals.start),
  });
}

export function compareMemory({ bare, server, report }: Bench, when: 'idle' | 'after the load'): void {
  const [floor, value] = [bare.residentMb(), server.residentMb()];
  report.measures.push({
    name: `memory, ${when}`,
    floor: `${figure(floor)} MB`,
    server: `${figure(value)} MB`,
    ...ratios([value / floor], 'most', when === 'idle' ? goals.memoryIdle : goals.memoryAfter),
  });
}

/** What counting one request costs, in this process: its series, its decision and its place among those in flight. */
export function measureMetrics({ rounds, report, say }: Pick<Bench, 'rounds' | 'report' | 'say'>): void {
  const metrics = createServerMetrics(createRegistry());
  const routes = ['/api/v1/users/me', '/api/v1/public/ping', '/api/v1/auth/refresh', '/api/v1/users/{id}'];
  const count = 2_000_000;
  const micros: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const began = performance.now();
    for (let i = 0; i < count; i += 1) {
      metrics.inFlight.inc();
      metrics.inFlight.dec();
      metrics.request(i % 4 === 2 ? 'POST' : 'GET', routes[i % 4]!, i % 16 === 0 ? 401 : 200, (i % 100) / 1e5);
      metrics.limited('default', false);
    }
    // The first round warms up.
    if (round > 0) micros.push(((performance.now() - began) * 1000) / count);
  }
  say(`metrics: ${figure(median(micros))} µs a request`);
  report.measures.push({
    name: 'metrics, µs a request',
    floor: '-',
    server: `${figure(median(micros))} µs`,
    ...ratios(micros, 'most', goals.metricsMicros),
  });
}
