/** A thread that counts, posts its figures and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { createRegistry } from '../../src/telemetry/metrics.ts';
import { createServerMetrics } from '../../src/telemetry/server_metrics.ts';

const registry = createRegistry();
const metrics = createServerMetrics(registry);
const lag = registry.gauge('nodejs_eventloop_lag_seconds', 'Lag.', [], 'max').of();
const { n } = workerData as { n: number };

for (let i = 0; i < n; i++) metrics.request('GET', '/api/v1/users/{id}', 200, 0.002);
metrics.request('POST', '', 400 + n, 20);
metrics.inFlight.inc(n);
metrics.rateLimitStoreUp.set(n === 1 ? 0 : 1);
lag.set(n);
parentPort?.postMessage(registry.snapshot());
