import { existsSync, readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread } from 'node:worker_threads';

import type { Config } from './core/config.ts';
import type { BucketStore } from './core/rate_limit.ts';
import type { Level, Log } from './telemetry/log.ts';
import type { ServingData } from './threads/verbs.ts';

const { version: VERSION } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const FLAGS = {
  host: { type: 'string' },
  port: { type: 'string' },
  workers: { type: 'string' },
  'env-file': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

const HELP = `bare-api: an HTTP API server with accounts

Usage: node src/main.ts [options]

  --host ADDRESS    address to listen on            HOST, 127.0.0.1
  --port PORT       port, 0 for any free one        PORT, 8000
  --workers N       threads, 0 for one per core     WORKERS, 1
  --env-file FILE   settings, one NAME=value a line, instead of .env
  -h, --help        this text
  -v, --version     the version

Every setting is an environment variable or a line of .env; a flag goes over
both. .env.example lists them all, with what they accept and their defaults.

  node src/main.ts --port 0                         on any free port
  DATABASE_URL=sqlite::memory: node src/main.ts     keeps nothing

Ctrl-C and SIGTERM stop it when what is in flight has finished, a second one
at once. SIGUSR2 lowers LOG_LEVEL to debug, the next one raises it again.
`;

const OLDEST_NODE = [24, 15] as const;

/** Says what is wrong, one line each, and ends: nothing has been started yet. */
function giveUp(lines: readonly string[], exitCode = 1): never {
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(exitCode);
}

function readFlags() {
  try {
    return parseArgs({ options: FLAGS }).values;
  } catch (error) {
    return giveUp([(error as Error).message.split('. ')[0]!, 'See: node src/main.ts --help']);
  }
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  const oldest = OLDEST_NODE.join('.');
  giveUp([`Node ${oldest} or newer is needed and this is ${process.versions.node}: npx -y node@24 src/main.ts`]);
}
const flags = isMainThread ? readFlags() : {};
if (!isMainThread) {
  await serveBesideOthers();
} else if (flags.help) {
  process.stdout.write(HELP);
} else if (flags.version) {
  process.stdout.write(`${VERSION}\n`);
} else {
  await serve();
}

async function serve(): Promise<void> {
  process.umask(0o077);
  // Compiled code is kept between starts, in a folder that nobody else can write. Bad settings do not make it.
  const cache = fileURLToPath(new URL('../.cache', import.meta.url));
  if (existsSync(cache)) enableCompileCache(cache);
  const { loadConfigFiles } = await import('./core/config.ts');
  const { rootOf, startFault } = await import('./core/start_fault.ts');
  const { openDatabase, sqliteFile } = await import('./db/session.ts');
  const { settingChecks } = await import('./wire/setting_checks.ts');
  const loaded = loadConfigFiles({
    env: process.env,
    envFile: flags['env-file'],
    flags: { HOST: flags.host, PORT: flags.port, WORKERS: flags.workers },
    readFile: (path) => readFileSync(path, 'utf8'),
    checks: settingChecks,
  });
  if ('faults' in loaded) return giveUp(loaded.faults);
  const { config } = loaded;
  enableCompileCache(cache);

  const { createLog } = await import('./telemetry/log.ts');
  const { openSink } = await import('./telemetry/sink.ts');
  const { createApp } = await import('./app.ts');
  const { signingKeys } = await import('./db/key_file.ts');
  const { poolOf } = await import('./core/threads.ts');
  const { announce } = await import('./telemetry/banner.ts');

  const pretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && isatty(1));
  const color = pretty && isatty(1) && !process.env['NO_COLOR'];
  const sink = openSink(1);
  const form = { level: config.logLevel, format: pretty ? 'pretty' : 'json', color } as const;
  const log = createLog({ ...form, now: Date.now, sink });
  process.on('exit', () => log.close());
  endOnUncaught('The server ends: something was thrown that nobody caught.', log);

  let setLogLevel = (_level: Level): void => {};
  let end: (() => Promise<void>) | undefined;
  let stopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info('stopping', { signal });
    await end?.();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGUSR2', () => {
    log.level = log.level === 'debug' ? config.logLevel : 'debug';
    setLogLevel(log.level);
    log.announce('log level', { lowest: log.level });
  });

  const origin = process.hrtime();
  const monotonic = monotonicSince(origin);

  try {
    const { keys, warning } = signingKeys(config);
    const onWait = (error: unknown): void =>
      log.warn('The database is away; the server starts when it answers.', { reason: rootOf(error) });
    const db = await openDatabase({ ...config, databasePoolMax: poolOf(config, 0) }, { monotonic, onWait });
    const sharedBuckets = await openSharedBuckets(config, monotonic);
    const own = { version: VERSION, now: Date.now, monotonic, figures: process };
    const application = createApp({ ...own, config, keys, db, sharedBuckets, log });
    const { migrated, madeAdmin, limiterFault } = await application.prepare();
    const several = config.workers > 1 ? await import('./threads/supervisor.ts') : undefined;
    const threads = await several?.openServingThreads({
      ...application,
      entry: new URL(import.meta.url),
      data: { config, version: VERSION, keys, origin, log: form },
      db,
      log,
      wakeJobs: application.app.jobs.wake,
      onReplaced: (reason) => application.app.metrics.threadsReplaced.of(reason).inc(),
      monotonic,
    });
    const port = threads?.port ?? (await application.server.listen(config));
    application.work();
    if (threads !== undefined) setLogLevel = threads.setLogLevel;
    end = () => application.stop(threads?.stop());

    const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    const started = {
      version: VERSION,
      url,
      docs: config.docsEnabled ? `${url}/docs` : undefined,
      environment: config.environment,
      database: db.kind,
      databaseFile: sqliteFile(config.databaseUrl),
      limitStore: config.redisUrl === undefined ? 'memory' : 'redis',
      workers: config.workers,
      limits: { request: config.rateLimitDefault, login: config.rateLimitLogin },
    } as const;
    announce(started, { pretty, color }, log, sink.write);
    for (const text of [...loaded.warnings, warning, limiterFault]) if (text !== undefined) log.warn(text);
    for (const { version, name } of migrated) log.info('migrated', { version, name });
    if (madeAdmin) log.event('admin.first_created', { email: config.firstAdminEmail });
    log.flush();
  } catch (error) {
    giveUp([startFault(error, config)]);
  }
}

/** One of the threads that serve: the main one has checked, migrated and announced everything. */
async function serveBesideOthers(): Promise<void> {
  const { serveInThread } = await import('./threads/serve.ts');
  const { threadData } = await import('./core/threads.ts');
  const data = threadData<ServingData>();
  const monotonic = monotonicSince(data.origin);
  const sharedBuckets = await openSharedBuckets(data.config, monotonic);
  const log = await serveInThread(data, { now: Date.now, monotonic, figures: process, sharedBuckets });
  endOnUncaught('The thread ends: something was thrown that nobody caught.', log);
}

function endOnUncaught(message: string, log: Log): void {
  process.on('uncaughtException', (error) => {
    log.error(message, { error });
    log.close();
    process.exit(1);
  });
}

/** Nanoseconds since a moment of `process.hrtime`, the same in every thread. */
function monotonicSince([seconds, nanoseconds]: [seconds: number, nanoseconds: number]): () => number {
  return () => {
    const [s, ns] = process.hrtime();
    return (s - seconds) * 1e9 + (ns - nanoseconds);
  };
}

/** The limiter's buckets in Redis, where there is one. Its client is loaded only then. */
async function openSharedBuckets({ redisUrl }: Config, monotonic: () => number): Promise<BucketStore | undefined> {
  if (redisUrl === undefined) return undefined;
  const { openRedisBuckets } = await import('./wire/redis_buckets.ts');
  return openRedisBuckets(redisUrl, monotonic);
}
