import { statSync } from 'node:fs';
import { PerformanceObserver, constants, monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Registry } from './metrics.ts';

/** What `process` knows of the whole process; `process` itself fits. */
export interface ProcessFigures {
  version: string;
  /** `rss()` in bytes. */
  memoryUsage: { rss(): number };
  /** Microseconds since the start. */
  cpuUsage(): { user: number; system: number };
  /** Seconds since the start. */
  uptime(): number;
}

/** What `process` knows of the calling thread; `process` itself fits. */
export interface ThreadFigures {
  getActiveResourcesInfo(): string[];
}

/** How often the event loop's lag is sampled. */
const SAMPLING_MS = 20;
const seconds = (nanoseconds: number): number => nanoseconds / 1e9;

const gcKinds: Record<number, string> = {
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
};
const gcBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1] as const;

/** What there is once in a process: only the main thread registers it. `now` is wall time in milliseconds. */
export function addProcessMetrics(registry: Registry, figures: ProcessFigures, now: () => number): void {
  const memory = registry.gauge('process_resident_memory_bytes', 'Memory of the process that is in RAM.').of();
  const cpu = registry.counter('process_cpu_seconds_total', 'User and system CPU time spent.').of();
  const started = registry.gauge('process_start_time_seconds', 'Start of the process, in seconds since 1970.').of();
  started.set(Math.round(now() - figures.uptime() * 1000) / 1000);
  registry.gauge('nodejs_version_info', 'The running Node.js.', ['version']).of(figures.version).set(1);
  let counted = 0;
  registry.onCollect(() => {
    memory.set(figures.memoryUsage.rss());
    const { user, system } = figures.cpuUsage();
    const spent = (user + system) / 1e6;
    cpu.inc(spent - counted);
    counted = spent;
  });
}

/** The size of a SQLite database and of its write-ahead log; a file that is not there has none. */
export function addDatabaseMetrics(registry: Registry, file: string): void {
  const database = registry.gauge('sqlite_database_bytes', 'Size of the database file.', [], 'max').of();
  const wal = registry.gauge('sqlite_wal_bytes', 'Size of its write-ahead log.', [], 'max').of();
  registry.onCollect(() => {
    database.set(statSync(file, { throwIfNoEntry: false })?.size ?? 0);
    wal.set(statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0);
  });
}

/**
 * What every thread has of its own: event-loop lag, heap, garbage collections, open handles. The lag figures cover the
 * time since they were last collected; over several threads they are those of the slowest.
 */
export function openThreadMetrics(registry: Registry, figures: ThreadFigures): { close(): void } {
  const lag = {
    mean: registry.gauge('nodejs_eventloop_lag_seconds', 'Mean event-loop lag since last asked.', [], 'max').of(),
    p99: registry.gauge('nodejs_eventloop_lag_p99_seconds', '99th percentile of the same.', [], 'max').of(),
    max: registry.gauge('nodejs_eventloop_lag_max_seconds', 'Maximum of the same.', [], 'max').of(),
  };
  const heapUsed = registry.gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.').of();
  const heapTotal = registry.gauge('nodejs_heap_size_total_bytes', 'JavaScript heap reserved.').of();
  const external = registry.gauge('nodejs_external_memory_bytes', 'Memory of buffers, outside the heap.').of();
  const resources = registry.gauge(
    'nodejs_active_resources', 'Handles and requests that keep the loop alive.', ['type']);
  const collections = registry.histogram(
    'nodejs_gc_duration_seconds', 'Pauses for garbage collection.', ['kind'], gcBounds);

  const delay = monitorEventLoopDelay({ resolution: SAMPLING_MS });
  delay.enable();
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      collections.of(gcKinds[kind] ?? 'other').observe(entry.duration / 1000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });

  const seenTypes = new Set<string>();
  registry.onCollect(() => {
    // The sampler records the whole interval between two of its ticks; what is beyond the interval asked for is lag.
    const beyond = (nanoseconds: number): number => Math.max(0, seconds(nanoseconds) - SAMPLING_MS / 1000);
    lag.mean.set(Number.isFinite(delay.mean) ? beyond(delay.mean) : 0);
    lag.p99.set(beyond(delay.percentile(99)));
    lag.max.set(beyond(delay.max));
    delay.reset();

    const heap = getHeapStatistics();
    heapUsed.set(heap.used_heap_size);
    heapTotal.set(heap.total_heap_size);
    external.set(heap.external_memory);

    for (const type of seenTypes) resources.of(type).set(0);
    for (const type of figures.getActiveResourcesInfo()) {
      seenTypes.add(type);
      resources.of(type).inc();
    }
  });

  return {
    close() {
      delay.disable();
      observer.disconnect();
    },
  };
}
