import { isatty, WriteStream } from 'node:tty';

import { createApp } from './app.ts';
import type { Config } from './core/config.ts';
import { rootOf } from './core/errors.ts';
import type { BucketStore } from './core/rate_limit.ts';
import { threadData } from './core/threads.ts';
import { signingKeys } from './db/key_file.ts';
import { openDatabase, poolOf, sqliteFile } from './db/session.ts';
import { announce } from './telemetry/banner.ts';
import { createLog } from './telemetry/log.ts';
import type { Level, Log } from './telemetry/log.ts';
import { openSink } from './telemetry/sink.ts';
import type { ServingData } from './threads/verbs.ts';

export interface ServeOptions {
  config: Config;
  version: string;
  /** What is wrong with the settings and still lets the server start. */
  warnings: readonly string[];
  /** The module that further threads run, to arrive at `serveBesideOthers`. */
  entry: URL;
}

/** Serves until a signal ends the process; or why that could not begin, in a sentence for who starts it. */
export async function serve({ config, version, warnings, entry }: ServeOptions): Promise<string | undefined> {
  const pretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && isatty(1));
  const { env } = process;
  const color = pretty && (isatty(1) || env['FORCE_COLOR'] !== undefined) && WriteStream.prototype.hasColors(env);
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
  process.on('SIGHUP', (signal) => {
    if (!stopping) void stop(signal); // Kernel and shell may both say that the terminal has closed.
  });
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
    const own = { version, now: Date.now, monotonic, figures: process };
    const application = await createApp({ ...own, config, keys, db, sharedBuckets, log });
    const { migrated, madeAdmin, limiterFault } = await application.prepare();
    const several = config.workers > 1 ? await import('./threads/supervisor.ts') : undefined;
    const threads = await several?.openServingThreads({
      ...application,
      entry,
      data: { config, version, keys, origin, log: form },
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
      version,
      url,
      docs: config.docsEnabled ? `${url}/docs` : undefined,
      environment: config.environment,
      database: db.kind,
      databaseFile: sqliteFile(config.databaseUrl),
      limitStore: config.redisUrl === undefined ? 'memory' : 'redis',
      workers: config.workers,
      limits: { request: config.rateLimitDefault, login: config.rateLimitLogin },
    } as const;
    announce(started, { pretty, color }, log, (text) => void sink.write(Buffer.from(text)));
    threads?.announced();
    for (const text of [...warnings, warning, limiterFault]) if (text !== undefined) log.warn(text);
    for (const each of migrated) log.info('migrated', { version: each.version, name: each.name });
    if (madeAdmin) log.event('admin.first_created', { email: config.firstAdminEmail });
    log.flush();
    return undefined;
  } catch (error) {
    const { startFault } = await import('./core/start_fault.ts');
    return startFault(error, config, sqliteFile(config.databaseUrl));
  }
}

/** One of the threads that serve: the main one has checked, migrated and announced everything. */
export async function serveBesideOthers(): Promise<void> {
  const { serveInThread } = await import('./threads/serve.ts');
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
