export type Kind = 'counter' | 'gauge' | 'histogram';
/** How a gauge of several threads becomes one; counters and histograms are summed. */
export type Merge = 'sum' | 'max' | 'min';

/** One metric at one moment; plain data, so that a thread can post it to another. */
export interface MetricSnapshot {
  name: string;
  help: string;
  kind: Kind;
  labels: readonly string[];
  merge: Merge;
  /** Upper bounds, ascending, without +Inf; empty unless a histogram. */
  bounds: readonly number[];
  /** `numbers` is one value; for a histogram the count of each bucket (not cumulated), that of +Inf, and the sum. */
  series: { values: readonly string[]; numbers: Float64Array }[];
}

export type Snapshot = MetricSnapshot[];

/** The Prometheus text format, version 0.0.4, of what one or several threads counted. */
export function renderText(snapshots: readonly Snapshot[]): string {
  const lines: string[] = [];
  for (const metric of merged(snapshots)) {
    const { name, kind } = metric;
    lines.push(`# HELP ${name} ${metric.help.replace(/[\\\n]/g, escape)}`, `# TYPE ${name} ${kind}`);
    for (const { values, numbers } of metric.series) {
      const labels = metric.labels.map((label, i) => `${label}="${(values[i] as string).replace(/[\\\n"]/g, escape)}"`);
      if (kind === 'histogram') addBuckets(lines, name, labels, metric.bounds, numbers);
      else lines.push(`${name}${braced(labels)} ${numberText(numbers[0] as number)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function addBuckets(
  lines: string[], name: string, labels: string[], bounds: readonly number[], numbers: Float64Array,
): void {
  let count = 0;
  for (const [i, bound] of [...bounds, Infinity].entries()) {
    count += numbers[i] as number;
    lines.push(`${name}_bucket${braced([...labels, `le="${numberText(bound)}"`])} ${numberText(count)}`);
  }
  lines.push(`${name}_sum${braced(labels)} ${numberText(numbers[bounds.length + 1] as number)}`);
  lines.push(`${name}_count${braced(labels)} ${numberText(count)}`);
}

/** One metric per name and one series per label values, in the order in which they first appear. */
export function merged(snapshots: readonly Snapshot[]): Iterable<MetricSnapshot> {
  const metrics = new Map<string, { metric: MetricSnapshot; series: Map<string, MetricSnapshot['series'][number]> }>();
  for (const metric of snapshots.flat()) {
    let entry = metrics.get(metric.name);
    if (entry === undefined) metrics.set(metric.name, (entry = { metric, series: new Map() }));
    for (const { values, numbers } of metric.series) {
      const key = JSON.stringify(values);
      const sum = entry.series.get(key);
      if (sum === undefined) entry.series.set(key, { values, numbers });
      else sum.numbers = sum.numbers.map((n, i) => combine[metric.merge](n, numbers[i] as number));
    }
  }
  return metrics.values().map(({ metric, series }) => ({ ...metric, series: [...series.values()] }));
}

const combine: Record<Merge, (a: number, b: number) => number> = { sum: (a, b) => a + b, max: Math.max, min: Math.min };

const braced = (labels: readonly string[]): string => (labels.length === 0 ? '' : `{${labels.join(',')}}`);

const escape = (character: string): string => (character === '\n' ? '\\n' : `\\${character}`);

const numberText = (value: number): string =>
  value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);
