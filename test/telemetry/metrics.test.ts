import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createRegistry } from '../../src/telemetry/metrics.ts';
import type { Registry } from '../../src/telemetry/metrics.ts';
import { renderText } from '../../src/telemetry/metrics_text.ts';
import type { Snapshot } from '../../src/telemetry/metrics_text.ts';
import { addProcessMetrics, openThreadMetrics } from '../../src/telemetry/runtime_metrics.ts';
import { createServerMetrics, durationBounds } from '../../src/telemetry/server_metrics.ts';

/** The sample lines of a text, by what stands before the value. */
const samples = (text: string): Record<string, number> => Object.fromEntries(
  text.trimEnd().split('\n').filter((line) => !line.startsWith('#')).map((line) => {
    const space = line.lastIndexOf(' ');
    return [line.slice(0, space), Number(line.slice(space + 1).replace('Inf', 'Infinity'))];
  }));

const samplesOf = (registry: Registry): Record<string, number> => samples(registry.render());

test('the text is the one that the format describes', () => {
  const registry = createRegistry();
  const requests = registry.counter('requests_total', 'Requests \\ and\nmore.', ['path', 'kind']);
  requests.of('/a"b\\c\nd', 'x').inc();
  requests.of('/a"b\\c\nd', 'x').inc(2);
  requests.of('é', '').inc(0.5);
  registry.gauge('depth', 'Depth.').of().set(-3);
  const sizes = registry.histogram('size_bytes', 'Sizes.', ['kind'], [1, 2.5]).of('x');
  for (const value of [0, 1, 1.5, 2.5, 3, 1e6]) sizes.observe(value);
  assert.equal(registry.render(), [
    '# HELP requests_total Requests \\\\ and\\nmore.',
    '# TYPE requests_total counter',
    'requests_total{path="/a\\"b\\\\c\\nd",kind="x"} 3',
    'requests_total{path="é",kind=""} 0.5',
    '# HELP depth Depth.',
    '# TYPE depth gauge',
    'depth -3',
    '# HELP size_bytes Sizes.',
    '# TYPE size_bytes histogram',
    'size_bytes_bucket{kind="x",le="1"} 2',
    'size_bytes_bucket{kind="x",le="2.5"} 4',
    'size_bytes_bucket{kind="x",le="+Inf"} 6',
    'size_bytes_sum{kind="x"} 1000008',
    'size_bytes_count{kind="x"} 6',
    '',
  ].join('\n'));
});

test('a gauge goes up, down and to infinity', () => {
  const registry = createRegistry();
  const gauge = registry.gauge('g', 'G.').of();
  const steps: [() => void, string][] = [
    [() => gauge.inc(), '1'], [() => gauge.dec(3), '-2'], [() => gauge.set(Infinity), '+Inf'],
    [() => gauge.set(-Infinity), '-Inf'], [() => gauge.set(NaN), 'NaN'], [() => gauge.set(1e21), '1e+21'],
  ];
  for (const [step, expected] of steps) {
    step();
    assert.match(registry.render(), new RegExp(`^g ${RegExp.escape(expected)}$`, 'm'));
  }
});

test('a name that is malformed or taken, and a wrong number of labels, are bugs and throw', () => {
  const registry = createRegistry();
  const counter = registry.counter('a_total', 'A.', ['b']);
  assert.throws(() => registry.gauge('a_total', 'Again.'), /registered already/);
  for (const name of ['', '0a', 'a-b', 'a b', 'a\n', 'é']) {
    assert.throws(() => registry.gauge(name, 'X.'), /no name/, name);
    assert.throws(() => registry.gauge('x', 'X.', [name]), /no name/, name);
  }
  assert.throws(() => (counter.of as (...values: string[]) => unknown)('one', 'two'), /has the labels b/);
});

test('a thousand series are kept apart, and what comes after them shares one', () => {
  const registry = createRegistry();
  const counter = registry.counter('a_total', 'A.', ['b', 'c']);
  for (let i = 0; i < 5_000; i++) counter.of(`b${i}`, 'c').inc();
  counter.of('b0', 'c').inc();
  const found = samplesOf(registry);
  assert.equal(Object.keys(found).length, 1_001);
  assert.equal(found['a_total{b="b0",c="c"}'], 2);
  assert.equal(found['a_total{b="other",c="other"}'], 4_000);
  assert.equal(counter.of('b9999', 'c'), counter.of('b8888', 'c'));
});

test('what is collected is read at the moment of asking', () => {
  const registry = createRegistry();
  const gauge = registry.gauge('g', 'G.').of();
  let asked = 0;
  registry.onCollect(() => gauge.set(++asked));
  assert.equal(samplesOf(registry)['g'], 1);
  assert.equal(samplesOf(registry)['g'], 2);
});

test('a snapshot does not change when counting goes on', () => {
  const registry = createRegistry();
  const histogram = registry.histogram('h', 'H.', [], [1]).of();
  histogram.observe(1);
  const before = registry.snapshot();
  histogram.observe(1);
  assert.equal(samples(renderText([before]))['h_count'], 1);
  assert.equal(samples(renderText([before, before, registry.snapshot()]))['h_count'], 4);
  assert.equal(samples(renderText([before]))['h_count'], 1);
});

test('figures of several threads become sums, or of gauges the greatest or least where that is meant', async () => {
  const snapshots = await Promise.all([1, 2, 3].map(async (n): Promise<Snapshot> => {
    const thread = new Worker(join(import.meta.dirname, 'metrics_thread.ts'), { workerData: { n } });
    const [snapshot] = await once(thread, 'message');
    return snapshot;
  }));
  const found = samples(renderText(snapshots));
  const route = 'method="GET",route="/api/v1/users/{id}"';
  assert.equal(found[`http_requests_total{${route},status="200"}`], 6);
  assert.equal(found['http_requests_total{method="POST",route="none",status="402"}'], 1);
  assert.equal(found[`http_request_duration_seconds_bucket{${route},le="0.001"}`], 0);
  assert.equal(found[`http_request_duration_seconds_bucket{${route},le="0.0025"}`], 6);
  assert.equal(found[`http_request_duration_seconds_count{${route}}`], 6);
  assert.equal(found['http_request_duration_seconds_bucket{method="POST",route="none",le="10"}'], 0);
  assert.equal(found['http_request_duration_seconds_bucket{method="POST",route="none",le="+Inf"}'], 3);
  assert.equal(found['http_request_duration_seconds_sum{method="POST",route="none"}'], 60);
  assert.equal(found['http_requests_in_flight'], 6);
  assert.equal(found['rate_limit_store_up'], 0);
  assert.equal(found['nodejs_eventloop_lag_seconds'], 3);
});

test('a method that no route answers to is counted as other', () => {
  const registry = createRegistry();
  const metrics = createServerMetrics(registry);
  for (const method of ['PROPFIND', 'M-SEARCH', 'get', 'x'.repeat(1_000)]) metrics.request(method, '', 405, 0);
  assert.equal(samplesOf(registry)['http_requests_total{method="other",route="none",status="405"}'], 4);
});

test('the buckets of a request’s duration ascend from 100 µs to 10 s', () => {
  assert.equal(durationBounds[0], 0.0001);
  assert.equal(durationBounds.at(-1), 10);
  assert.deepEqual([...durationBounds].sort((a, b) => a - b), [...durationBounds]);
});

/** Everything this server says of itself, with something in it. */
async function fullText(): Promise<string> {
  const registry = createRegistry();
  const metrics = createServerMetrics(registry);
  addProcessMetrics(registry, process, Date.now);
  const thread = openThreadMetrics(registry, process);
  metrics.request('GET', '/api/v1/public/ping', 200, 0.0002);
  metrics.inFlight.inc();
  metrics.limited('default', false);
  metrics.limited('login', true);
  metrics.passwordQueueDepth.set(3);
  metrics.authEvents.of('auth.login').inc();
  metrics.jobs.of('mail', 'done').inc();
  // A pause that garbage collection is sure to make, and the turn of the loop in which it is told.
  const garbage: unknown[] = [];
  for (let i = 0; i < 2_000_000; i++) garbage[i % 1_000] = { i };
  while (!registry.render().includes('nodejs_gc_duration_seconds_count')) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const text = registry.render();
  thread.close();
  return text;
}

test('every metric that was promised is there, with a figure that can be true', async () => {
  const found = samples(await fullText());
  const promised = [
    'http_requests_total{method="GET",route="/api/v1/public/ping",status="200"}', 'http_requests_in_flight',
    'http_request_duration_seconds_count{method="GET",route="/api/v1/public/ping"}', 'rate_limit_store_up',
    'rate_limit_decisions_total{policy="default",outcome="allowed"}', 'password_hash_queue_depth',
    'auth_events_total{event="auth.login"}', 'jobs_total{kind="mail",outcome="done"}',
    'nodejs_gc_duration_seconds_count{kind="minor"}', `nodejs_version_info{version="${process.version}"}`,
  ];
  for (const name of promised) assert.ok((found[name] ?? 0) > 0, name);

  const between: Record<string, [number, number]> = {
    nodejs_eventloop_lag_seconds: [0, 10],
    nodejs_eventloop_lag_p99_seconds: [0, 10],
    nodejs_eventloop_lag_max_seconds: [0, 10],
    process_resident_memory_bytes: [10e6, 10e9],
    process_cpu_seconds_total: [0.01, 1_000],
    process_start_time_seconds: [Date.now() / 1000 - 3_600, Date.now() / 1000],
    nodejs_heap_size_used_bytes: [1e6, 10e9],
    nodejs_heap_size_total_bytes: [1e6, 10e9],
    nodejs_external_memory_bytes: [0, 10e9],
  };
  for (const [name, [low, high]] of Object.entries(between)) {
    const value = found[name] ?? NaN;
    assert.ok(value >= low && value <= high, `${name} ${value}`);
  }
});

test('a loop that was held up shows as lag, once', async () => {
  const registry = createRegistry();
  const thread = openThreadMetrics(registry, process);
  const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));
  await tick();
  registry.snapshot();
  // The sampler measures from one tick to the next, and has forgotten the last one.
  await tick();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  await tick();
  const held = samplesOf(registry)['nodejs_eventloop_lag_max_seconds'] ?? 0;
  assert.ok(held > 0.2, String(held));
  const mean = samplesOf(registry)['nodejs_eventloop_lag_seconds'];
  assert.equal(mean, 0, 'nothing was sampled since');
  thread.close();
});

const promtool = spawnSync('promtool', ['--version']).status === 0;

test('promtool finds no fault with it', { skip: promtool ? false : 'needs promtool (of Prometheus)' }, async () => {
  const check = spawnSync('promtool', ['check', 'metrics'], { input: await fullText() });
  assert.equal(String(check.stderr) + String(check.stdout), '');
  assert.equal(check.status, 0);
  const broken = spawnSync('promtool', ['check', 'metrics'], { input: '# TYPE x counter\nx 1\n' });
  assert.notEqual(broken.status, 0, 'promtool does look');
});
