import { MessageChannel, parentPort } from 'node:worker_threads';

import { createApp } from '../app.ts';
import type { Parts } from '../app.ts';
import type { Hashes } from '../core/passwords.ts';
import { SharedStore } from '../core/rate_limit_shared.ts';
import { openDatabase } from '../db/session.ts';
import { createLog } from '../telemetry/log.ts';
import type { Log } from '../telemetry/log.ts';
import { openCalls } from './calls.ts';
import { HASHING } from './verbs.ts';
import type { MainVerbs, ServingData, ServingVerbs } from './verbs.ts';

const BEAT_MS = 1000;

/** What only `serve.ts` has to give. */
export type Surroundings = Pick<Parts, 'now' | 'monotonic' | 'figures' | 'sharedBuckets'>;

/** Makes this thread one of those that serve, until the main thread ends it. It has to beat to be let live. */
export async function serveInThread(data: ServingData, surroundings: Surroundings): Promise<Log> {
  const { config, version, keys, buckets, hashing, port } = data;
  const { now, monotonic } = surroundings;
  const sink = { write: (lines: Uint8Array) => (main.tell('log', new Uint8Array(lines)), true), flushSync: () => {} };
  const log = createLog({ ...data.log, now, sink });
  const ours: ServingVerbs = {
    snapshot: () => application.snapshot(),
    logLevel: (level) => void (log.level = level),
    stopListening: () => application.server.stopListening(),
    async stop() {
      await application.stop();
      log.close();
    },
  };
  const main = openCalls<MainVerbs>(parentPort!, ours);
  setInterval(() => main.tell('beat', undefined), BEAT_MS).unref();
  const db = await openDatabase(config, {
    monotonic,
    toWriter() {
      const { port1, port2 } = new MessageChannel();
      return { port: port1, gone: main.ask('writer', port2, [port2]) };
    },
  });
  const gauges = new Int32Array(hashing);
  const hashes: Hashes = {
    run: (job) => main.ask('hash', job),
    get waiting() {
      return Atomics.load(gauges, HASHING.waiting);
    },
    get full() {
      return Atomics.load(gauges, HASHING.full) === 1;
    },
    close: async () => {},
  };
  const ofProcess = {
    hashes,
    buckets: new SharedStore({ memory: buckets, now: monotonic }),
    metricsText: () => main.ask('metrics', undefined),
    wakeJobs: () => main.tell('wakeJobs', undefined),
    limiterChanged: () => main.tell('limiterChanged', undefined),
  };
  const application = await createApp({ ...surroundings, config, version, keys, db, log, ofProcess });
  await application.prepare();
  main.tell('listening', await application.server.listen({ host: config.host, port, reusePort: true }));
  return log;
}
