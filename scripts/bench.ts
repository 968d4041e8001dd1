// How near the server comes to bare node:http, side by side on one core. See --help.

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { createAccounts } from './bench/accounts.ts';
import type { Accounts } from './bench/accounts.ts';
import type { Load, LoadResult } from './bench/load.ts';
import { attempts, findMachine, generate, hashFloor, undisturbed } from './bench/machine.ts';
import type { Machine } from './bench/machine.ts';
import { figure, median, toTable } from './bench/report.ts';
import type { Measure, Report } from './bench/report.ts';
import { createTarget } from './bench/target.ts';
import type { Target } from './bench/target.ts';

const help = `Usage: npm run bench -- [options]

  --rounds N           interleaved rounds; the table has their medians (3)
  --duration S         seconds of each load (4)
  --only a,b           of start, memory, ping, me, refresh, login, flood (all)
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
};

const connections = { ping: 32, me: 32, refresh: 64, login: 8, flood: 4 };
const starts = 7;
const measureNames = ['start', 'memory', 'ping', 'me', 'refresh', 'login', 'flood'] as const;
type Name = (typeof measureNames)[number];

interface Bench {
  machine: Machine;
  bare: Target;
  server: Target;
  accounts: Accounts;
  rounds: number;
  duration: number;
  has: (name: Name) => boolean;
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

const ratios = (values: number[], bound: Measure['bound'], { goal, aim }: { goal: number; aim: number }) =>
  ({ value: median(values), lowest: Math.min(...values), highest: Math.max(...values), bound, goal, aim });

const over = (above: readonly number[], below: readonly number[]): number[] =>
  above.map((value, i) => value / (below[i] ?? NaN));

/** Server against bare, in turns. */
async function compare(bench: Bench, name: 'ping' | 'me' | 'refresh', load: Omit<Load, 'port'>): Promise<void> {
  const { rounds, bare, server, accounts, report, say } = bench;
  const runs: { bare: Run[]; server: Run[] } = { bare: [], server: [] };
  const refreshToken = JSON.stringify({ refresh_token: 'x'.repeat(300) });
  for (let round = 0; round <= rounds; round += 1) {
    // The first round warms both up and is not counted.
    const seconds = round === 0 ? Math.min(2, load.seconds) : load.seconds;
    const bareRun = await measure(bench, bare, name, () =>
      ({ ...load, seconds, ...(name === 'refresh' ? { body: refreshToken } : {}) }));
    const run = await measure(bench, server, name, () =>
      ({ ...load, seconds, ...(name === 'refresh' ? { tokensFile: accounts.nextTokens() } : {}) }));
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

async function compareLogin(bench: Bench): Promise<number> {
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
async function compareFlood(bench: Bench, loginRate: number): Promise<void> {
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
      const beside = await running;
      // What the clients left behind is hashed before anything else is measured.
      await sleep(2000);
      return { flooded, beside };
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

async function compareStarts({ bare, server, report, say }: Bench): Promise<void> {
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

function compareMemory({ bare, server, report }: Bench, when: 'idle' | 'after the load'): void {
  const [floor, value] = [bare.residentMb(), server.residentMb()];
  report.measures.push({
    name: `memory, ${when}`,
    floor: `${figure(floor)} MB`,
    server: `${figure(value)} MB`,
    ...ratios([value / floor], 'most', when === 'idle' ? goals.memoryIdle : goals.memoryAfter),
  });
}

async function runAll(bench: Bench): Promise<void> {
  const { bare, server, accounts, duration: seconds, has } = bench;
  if (has('start')) await compareStarts(bench);
  await bare.start();
  await server.start();
  await sleep(1000);
  if (has('memory')) compareMemory(bench, 'idle');
  if (has('ping')) await compare(bench, 'ping', { ...pingLoad, connections: connections.ping, seconds });
  if (has('me')) await compare(bench, 'me', { ...meLoad(accounts), connections: connections.me, seconds });
  if (has('refresh')) await compare(bench, 'refresh', { ...refreshLoad, connections: connections.refresh, seconds });
  const loginRate = has('login') ? await compareLogin(bench) : NaN;
  if (has('flood')) await compareFlood(bench, loginRate);
  if (has('memory')) compareMemory(bench, 'after the load');
}

function readOptions() {
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
  const unknown = names.find((name) => !measureNames.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`--only: '${unknown}' is none of ${measureNames.join(', ')}`);
  const settings = Object.fromEntries(values.set.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new Error(`--set: NAME=VALUE, not '${pair}'`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
  const { workers, database, redis } = values;
  if (workers !== undefined) settings['WORKERS'] = workers;
  if (database !== undefined) settings['DATABASE_URL'] = database;
  if (redis !== undefined) settings['REDIS_URL'] = redis;
  return { ...values, rounds, duration, names, settings };
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(help);
    return;
  }
  const folder = mkdtempSync(join(os.tmpdir(), 'bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

  const machine = findMachine({ useWrk: !options['no-wrk'] });
  const { PATH = '', HOME = '', NODE_EXTRA_CA_CERTS } = process.env;
  const shared = { PATH, HOME, ...(NODE_EXTRA_CA_CERTS === undefined ? {} : { NODE_EXTRA_CA_CERTS }) };
  const unlimited = '1000000000/60s';
  const env = {
    ...shared, ENVIRONMENT: 'test', DATABASE_URL: `sqlite:${join(folder, 'bench.db')}`, LOG_FORMAT: 'json',
    RATE_LIMIT_DEFAULT: unlimited, RATE_LIMIT_LOGIN: unlimited, RATE_LIMIT_LOGIN_FAILURES: unlimited,
    ACCESS_TOKEN_TTL: '1d', ...options.settings,
  };
  const here = import.meta.dirname;
  const scripts = { bare: join(here, 'bench/bare.ts'), server: join(here, '../src/main.ts') };
  const errorFile = join(folder, 'stderr');
  const bare = await createTarget({ name: 'bare', script: scripts.bare, env: shared, cwd: folder, errorFile, machine });
  const server = await createTarget({ name: 'server', script: scripts.server, env, cwd: folder, errorFile, machine });

  const began = performance.now();
  const say = (text: string): void => {
    process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
  };
  const report: Report = {
    node: process.versions.node,
    machine: `${os.cpus()[0]?.model ?? 'a processor'}, ${machine.isPinned ? 'one core each' : 'no core of its own'}`,
    load: machine.wrk ? 'wrk' : 'its own process',
    options: { rounds: options.rounds, duration: options.duration, settings: options.settings },
    measures: [],
    disturbed: [],
    flagged: [],
  };

  say('making accounts');
  await server.start({ SCRYPT_LOG2_N: '4', SCRYPT_P: '1' });
  const accounts = await createAccounts({
    port: server.port, folder, tokens: connections.refresh + 1,
    files: options.names.includes('refresh') ? (options.rounds + 1) * attempts : 0,
  });
  await server.stop();
  const { rounds, duration } = options;
  const has = (name: Name): boolean => options.names.includes(name);
  await runAll({ machine, bare, server, accounts, rounds, duration, has, report, say });
  await server.stop();
  await bare.stop();
  console.log(options.json ? JSON.stringify(report, null, 2) : toTable(report));
  if (report.flagged.length > 0) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
}
