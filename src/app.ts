import { randomBytes } from 'node:crypto';

import type { App } from './api/deps.ts';
import { lazyDocuments } from './api/documents.ts';
import { createPipeline } from './api/pipeline.ts';
import { apiRoutes } from './api/router.ts';
import { sendsMail } from './core/config.ts';
import type { Config } from './core/config.ts';
import type { Maybe } from './core/maybe.ts';
import { createHashThreads, createPasswords } from './core/passwords.ts';
import type { Hashes } from './core/passwords.ts';
import { policy } from './core/rate_limit.ts';
import type { BucketStore } from './core/rate_limit.ts';
import { createSharedBuckets, SharedStore } from './core/rate_limit_shared.ts';
import { createTokens } from './core/tokens.ts';
import type { Database, Migration } from './db/database.ts';
import { createSchemaCheck, ensureFirstAdmin, migrate } from './db/init_db.ts';
import { sqliteFile } from './db/session.ts';
import { createClientIp } from './http/client_ip.ts';
import { createCors } from './http/cors.ts';
import type { Route } from './http/route.ts';
import { createRouter } from './http/router.ts';
import { createHttpServer } from './http/server.ts';
import type { HttpServer } from './http/server.ts';
import { tasks } from './jobs/tasks.ts';
import { createWorker } from './jobs/worker.ts';
import type { JobWorker } from './jobs/worker.ts';
import { openLag } from './telemetry/lag.ts';
import type { Log } from './telemetry/log.ts';
import { createRegistry } from './telemetry/metrics.ts';
import type { Snapshot } from './telemetry/metrics_text.ts';
import { createRecorder } from './telemetry/recorder.ts';
import { addDatabaseMetrics, addProcessMetrics, openThreadMetrics } from './telemetry/runtime_metrics.ts';
import type { ProcessFigures, ThreadFigures } from './telemetry/runtime_metrics.ts';
import { createServerMetrics } from './telemetry/server_metrics.ts';
import type { ServerMetrics } from './telemetry/server_metrics.ts';
import { createIds, parseTraceparent } from './telemetry/trace_context.ts';
import type { Tracing } from './telemetry/tracing.ts';
import { openMail } from './wire/mail.ts';
import { toPublicHost } from './wire/mail_url.ts';

/** What an application is made of: everything that reaches outside comes in here. */
export interface Parts {
  config: Config;
  version: string;
  /** The keys of tokens: the first signs. */
  keys: readonly string[];
  db: Database;
  /** Buckets that hold across instances but may fail. */
  sharedBuckets: BucketStore | undefined;
  log: Log;
  /** Wall time, ms since 1970. */
  now(): number;
  /** Monotonic nanoseconds. */
  monotonic(): number;
  /** Where the runtime's own figures come from: `process`. Without it there are none. */
  figures?: ProcessFigures & ThreadFigures;
  /** In a thread that serves beside others: what the process has once. Without it the application is alone. */
  ofProcess?: OfProcess;
}

export interface OfProcess {
  hashes: Hashes;
  buckets: BucketStore;
  /** The metrics of all threads. */
  metricsText(): Maybe<string>;
  /** Jobs have been enqueued. */
  wakeJobs(): void;
  /** The shared buckets fail in this thread, and why; or work again. */
  limiterChanged(fault: string | undefined): void;
}

export interface Application {
  app: App;
  routes: readonly Route<App>[];
  server: HttpServer;
  /** What derives the keys of passwords. */
  hashes: Hashes;
  /** What this thread has counted. */
  snapshot(): Snapshot;
  /**
   * Brings the schema up to date, makes the first administrator, looks at the shared buckets: what was done, and why
   * the buckets can't be used yet, if so. A thread beside others only looks at the buckets.
   */
  prepare(): Promise<{ migrated: Migration[]; madeAdmin: boolean; limiterFault: string | undefined }>;
  /** Looks whether the shared buckets work, ahead of time, and says so when that has changed. */
  lookAtLimiter(): void;
  /** Begins to work on jobs; the schema has to be there. */
  work(): void;
  /** Drains the server and the jobs; when `others` have stopped as well, closes what the application holds. */
  stop(others?: Promise<void>): Promise<void>;
}

/** Assembles the application; it does not listen. What its settings do not ask for is not even loaded. */
export async function createApp(parts: Parts): Promise<Application> {
  const { config, version, keys, log, now, monotonic, figures, ofProcess } = parts;
  const { db, sharedBuckets, tracing } = await traced(parts);
  const registry = createRegistry();
  const metrics = createServerMetrics(registry);
  const recorder = createRecorder(log, metrics, monotonic);
  const lag = openLag(monotonic);
  const routes = apiRoutes(config);
  const router = createRouter(routes);
  const limits = {
    default: policy('default', config.rateLimitDefault),
    login: policy('login', config.rateLimitLogin),
    'login-failures': policy('login-failures', config.rateLimitLoginFailures),
  };
  const documents = lazyDocuments(routes, version, Object.values(limits));
  const hashing = { concurrency: config.scryptConcurrency, queue: config.scryptQueue };
  const isAlone = ofProcess === undefined;
  const worker = isAlone ? openWorker({ ...parts, db }, metrics, tracing) : undefined;
  const { hashes, buckets, metricsText, wakeJobs, limiterChanged }: OfProcess = ofProcess ?? {
    hashes: createHashThreads(hashing),
    buckets: openBuckets(config.rateLimitMaxKeys, monotonic),
    metricsText: () => registry.render(),
    wakeJobs: () => worker!.wake(),
    limiterChanged(fault) {
      if (fault === undefined) log.info('Redis is back: limits hold across instances again.');
      else log.warn(redisIsAway(fault));
    },
  };
  const limiter = sharedBuckets && await openLimiter(sharedBuckets, buckets, limiterChanged);
  const limiterIsUp = (): boolean => limiter?.fault === undefined;
  const app: App = {
    config,
    db,
    log,
    jobs: { wake: wakeJobs },
    sendsMail: sendsMail(config),
    now,
    documents,
    metrics,
    metricsText,
    event: recorder.event,
    passwords: createPasswords({ log2N: config.scryptLog2N, r: config.scryptR, p: config.scryptP, ...hashing }, hashes),
    tokens: createTokens({ keys, issuer: config.jwtIssuer, audience: config.jwtAudience }),
    limits,
    buckets: limiter ?? buckets,
    isDraining: () => server.draining,
    schemaIsCurrent: createSchemaCheck(db),
    limiterIsUp,
    lagMs: lag.ms,
  };
  registry.onCollect(() => {
    metrics.passwordQueueDepth.set(app.passwords.waiting);
    metrics.rateLimitStoreUp.set(limiterIsUp() ? 1 : 0);
  });
  if (figures !== undefined && isAlone) addProcessMetrics(registry, figures, now);
  const threadMetrics = figures === undefined ? undefined : openThreadMetrics(registry, figures);
  const file = sqliteFile(config.databaseUrl);
  if (file !== undefined && file !== ':memory:' && isAlone) addDatabaseMetrics(registry, file);

  const answer = createPipeline(app, router, createCors(config.corsOrigins));
  const clientIp = createClientIp(config.trustProxy);
  const traceIds = createIds();
  const server: HttpServer = createHttpServer({
    handle(exchange) {
      metrics.inFlight.inc();
      if (tracing !== undefined) return tracing.request(exchange, answer);
      exchange.traceId = parseTraceparent(exchange.traceparent)?.traceId ?? traceIds.traceId();
      answer(exchange);
    },
    clientIp: (req, forwardedFor) => clientIp(req.socket.remoteAddress ?? '', forwardedFor),
    nextRequestId: createRequestIds(),
    now: monotonic,
    wallTime: now,
    bodyLimit: config.bodyLimit,
    onAnswered(exchange) {
      recorder.answered(exchange);
      tracing?.answered(exchange);
    },
    onRejected: recorder.rejected,
  });

  return {
    app,
    routes,
    server,
    hashes,
    snapshot: registry.snapshot,

    async prepare() {
      await limiter?.look();
      const limiterFault = limiter?.fault && redisIsAway(limiter.fault);
      if (!isAlone) return { migrated: [], madeAdmin: false, limiterFault };
      const migrated = await migrate(db);
      const { firstAdminEmail: email, firstAdminPassword: password } = config;
      const wanted = email !== undefined && password !== undefined;
      const madeAdmin = wanted && (await ensureFirstAdmin(db, app.passwords, { email, password }, now()));
      return { migrated, madeAdmin, limiterFault };
    },

    lookAtLimiter: () => void limiter?.look(),
    work: () => worker?.start(),

    async stop(others) {
      // What requests enqueue from now on is left for the next worker: nothing of it is lost.
      await Promise.all([others, server.drain(config.shutdownTimeout), worker?.stop(config.shutdownTimeout)]);
      threadMetrics?.close();
      lag.close();
      await app.passwords.close();
      await app.buckets.close();
      await db.close();
      await tracing?.close();
    },
  };
}

/** Traces go to the collector that the settings name. */
async function traced({ config, version, db, sharedBuckets, log, now, monotonic }: Parts) {
  const { otelExporterOtlpEndpoint: endpoint, otelServiceName: serviceName } = config;
  if (endpoint === undefined) return { db, sharedBuckets, tracing: undefined };
  const { createTracing, tracedBuckets, tracedDatabase } = await import('./telemetry/tracing.ts');
  const tracing = createTracing({ endpoint, serviceName, serviceVersion: version, log, now, monotonic });
  const buckets = sharedBuckets && tracedBuckets(sharedBuckets, tracing);
  return { db: tracedDatabase(db, tracing), sharedBuckets: buckets, tracing };
}

const openBuckets = (maxKeys: number, now: () => number): BucketStore =>
  new SharedStore({ memory: createSharedBuckets(maxKeys), now });

/** The shared buckets as long as they work, else the local ones. */
async function openLimiter(shared: BucketStore, local: BucketStore, onChange: (fault: string | undefined) => void) {
  const { FallbackStore } = await import('./core/rate_limit_fallback.ts');
  return new FallbackStore({ shared, local, random: Math.random, onChange });
}

const redisIsAway = (reason: string): string => `Redis is away, so limits hold for this process alone: ${reason}`;

function openWorker(parts: Parts, metrics: ServerMetrics, tracing: Tracing | undefined): JobWorker {
  const { config, db, log, now, monotonic } = parts;
  const { mailUrl: url, mailFrom: from } = config;
  const publicUrl = config.publicUrl.replace(/\/+$/, '');
  const publicHost = toPublicHost(publicUrl);
  const mail = sendsMail(config) ? openMail({ url, from, publicHost, log: (text) => log.announce(text) }) : undefined;
  const onOutcome = (kind: string, outcome: string): void => metrics.jobs.of(kind, outcome).inc();
  const onPurged = (what: string, rows: number): void => metrics.purgedRows.of(what).inc(rows);
  const options = { tasks, db, mail, log, now, monotonic, publicUrl, onOutcome, onPurged };
  return createWorker(tracing === undefined ? options : { ...options, around: tracing.job });
}

/** Request ids: random for the process, counted within it. */
function createRequestIds(): () => string {
  const prefix = randomBytes(6).toString('base64url');
  let count = 0;
  return () => `${prefix}-${(++count).toString(36)}`;
}
