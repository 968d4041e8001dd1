import { renderText } from './metrics_text.ts';
import type { Merge, MetricSnapshot, Snapshot } from './metrics_text.ts';

export interface Counter {
  inc(n?: number): void;
}

export interface Gauge {
  inc(n?: number): void;
  dec(n?: number): void;
  set(value: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

/** One metric with its label names. */
export interface Labelled<Labels extends readonly string[], Child> {
  /**
   * The time series with these label values, one per label; made at its first use and the same one ever after, so
   * resolve it once and keep it. Past 1,000 series whatever is new shares one whose label values are all `other`.
   */
  of(...values: { [Name in keyof Labels]: string }): Child;
}

/** The metrics of one thread. A name that is malformed or taken is our bug and throws. */
export interface Registry {
  counter<const L extends readonly string[]>(name: string, help: string, labels?: L): Labelled<L, Counter>;
  gauge<const L extends readonly string[]>(name: string, help: string, labels?: L, merge?: Merge): Labelled<L, Gauge>;
  /** `bounds` are the buckets' upper bounds, ascending, without +Inf. */
  histogram<const L extends readonly string[]>(
    name: string, help: string, labels: L, bounds: readonly number[],
  ): Labelled<L, Histogram>;
  /** Runs `collect` before every snapshot, to set what is only read when somebody looks. */
  onCollect(collect: () => void): void;
  snapshot(): Snapshot;
  /** The Prometheus text of this thread alone; for several there is `renderText`. */
  render(): string;
}

const MAX_SERIES = 1_000;
/** Prometheus data model: metric and label names. */
const NAME_FORM = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

class Value implements Counter, Gauge {
  #value = 0;

  inc(n = 1): void {
    this.#value += n;
  }

  dec(n = 1): void {
    this.#value -= n;
  }

  set(value: number): void {
    this.#value = value;
  }

  numbers(): Float64Array {
    return Float64Array.of(this.#value);
  }
}

class Buckets implements Histogram {
  readonly #bounds: readonly number[];
  readonly #numbers: Float64Array;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#numbers = new Float64Array(bounds.length + 2);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    const numbers = this.#numbers;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    numbers[bucket] = (numbers[bucket] as number) + 1;
    numbers[bounds.length + 1] = (numbers[bounds.length + 1] as number) + value;
  }

  numbers(): Float64Array {
    return this.#numbers.slice();
  }
}

export function createRegistry(): Registry {
  const metrics = new Map<string, () => MetricSnapshot>();
  const collectors: (() => void)[] = [];

  function add<L extends readonly string[], Child extends { numbers(): Float64Array }>(
    about: Omit<MetricSnapshot, 'series'>, make: () => Child,
  ): Labelled<L, Child> {
    const { name, labels } = about;
    for (const word of [name, ...labels]) {
      if (!NAME_FORM.test(word)) throw new Error(`${word} is no name for a metric or a label`);
    }
    if (metrics.has(name)) throw new Error(`the metric ${name} is registered already`);
    const series = new Map<string, { values: readonly string[]; child: Child }>();

    function of(...values: readonly string[]): Child {
      if (values.length !== labels.length) throw new Error(`${name} has the labels ${labels.join(', ')}`);
      const key = JSON.stringify(values);
      const known = series.get(key);
      if (known !== undefined) return known.child;
      if (series.size >= MAX_SERIES && values.some((value) => value !== 'other')) {
        return of(...labels.map(() => 'other'));
      }
      const child = make();
      series.set(key, { values, child });
      return child;
    }

    if (labels.length === 0) of();
    metrics.set(name, () => ({
      ...about,
      series: Array.from(series.values(), ({ values, child }) => ({ values, numbers: child.numbers() })),
    }));
    return { of: of as Labelled<L, Child>['of'] };
  }

  function snapshot(): Snapshot {
    for (const collect of collectors) collect();
    return Array.from(metrics.values(), (read) => read());
  }

  return {
    counter: (name, help, labels) =>
      add({ name, help, kind: 'counter', labels: labels ?? [], merge: 'sum', bounds: [] }, () => new Value()),
    gauge: (name, help, labels, merge = 'sum') =>
      add({ name, help, kind: 'gauge', labels: labels ?? [], merge, bounds: [] }, () => new Value()),
    histogram: (name, help, labels, bounds) =>
      add({ name, help, kind: 'histogram', labels, merge: 'sum', bounds }, () => new Buckets(bounds)),
    onCollect: (collect) => void collectors.push(collect),
    snapshot,
    render: () => renderText([snapshot()]),
  };
}
