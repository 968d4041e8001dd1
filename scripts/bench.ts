// How near the server comes to bare node:http, side by side on one core: npm run bench -- --help

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { createAccounts } from './bench/accounts.ts';
import { comparePostgres, compareRedis } from './bench/clients.ts';
import {
  compareFlood, compareLogin, compareMemory, compareRates, compareStarts, connections, measureMetrics,
} from './bench/compare.ts';
import type { Bench } from './bench/compare.ts';
import { measureLimiter } from './bench/limiter.ts';
import { attempts, findMachine } from './bench/machine.ts';
import { help, measureNames, readOptions } from './bench/options.ts';
import type { Name } from './bench/options.ts';
import { toTable } from './bench/report.ts';
import type { Report } from './bench/report.ts';
import { measureScale } from './bench/scale.ts';
import { createTarget } from './bench/target.ts';

async function runAll(bench: Bench, has: (name: Name) => boolean): Promise<void> {
  const { bare, server } = bench;
  if (has('start')) await compareStarts(bench);
  await bare.start();
  await server.start();
  await sleep(1000);
  if (has('memory')) compareMemory(bench, 'idle');
  for (const name of ['ping', 'me', 'refresh'] as const) if (has(name)) await compareRates(bench, name);
  const loginRate = has('login') ? await compareLogin(bench) : NaN;
  if (has('flood')) await compareFlood(bench, loginRate);
  if (has('memory')) compareMemory(bench, 'after the load');
  if (has('metrics')) measureMetrics(bench);
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
    ACCESS_TOKEN_TTL: '1d', JWT_SECRET: randomBytes(32).toString('base64url'), ...options.settings,
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

  const { rounds, duration, database = '', redis = '' } = options;
  const has = (name: Name): boolean => options.names.includes(name);
  const clients = { machine, rounds, seconds: duration, report, say };
  if (has('limiter')) measureLimiter(clients);
  if (has('scale')) await measureScale(clients, folder);
  if (has('limiter-redis')) await compareRedis(clients, redis);
  if (has('postgres')) await comparePostgres(clients, database);
  if (!measureNames.some(has)) {
    console.log(options.json ? JSON.stringify(report, null, 2) : toTable(report));
    return;
  }

  say('making accounts');
  await server.start({ SCRYPT_LOG2_N: '4', SCRYPT_P: '1' });
  const accounts = await createAccounts({
    port: server.port, folder, tokens: connections.refresh + 1,
    files: options.names.includes('refresh') ? (options.rounds + 1) * attempts : 0,
  });
  await server.stop();
  await runAll({ machine, bare, server, accounts, rounds, duration, report, say }, has);
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
