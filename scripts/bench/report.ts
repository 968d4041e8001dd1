/** One line of the table. `value` is what `goal` and `aim` are about. */
export interface Measure {
  name: string;
  /** Medians, with their unit: of the floor and of the server. */
  floor: string;
  server: string;
  value: number;
  /** Of the single rounds. */
  lowest: number;
  highest: number;
  /** What the value must reach (`least`) or stay within (`most`), and what it is to reach in the end. */
  bound: 'least' | 'most';
  goal: number;
  aim: number;
  /** The same ratio in processor time, which a busy machine disturbs less; only for the loads of one kind. */
  cpuRatio?: number;
  serverCpuMicros?: number;
}

export interface Report {
  node: string;
  machine: string;
  load: string;
  options: Record<string, unknown>;
  measures: Measure[];
  /** Measures in which other processes took part of the two cores. */
  disturbed: string[];
  /** What makes the figures worthless: answers that were not 2xx, broken connections. */
  flagged: string[];
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

export const ratios = (values: number[], bound: Measure['bound'], { goal, aim }: { goal: number; aim: number }) =>
  ({ value: median(values), lowest: Math.min(...values), highest: Math.max(...values), bound, goal, aim });

export const holds = ({ value, bound, goal }: Measure): boolean => (bound === 'least' ? value >= goal : value <= goal);

/** `12,345`, `12.3` or `0.123`: three digits that count. */
export const figure = (value: number): string => {
  if (!Number.isFinite(value)) return '-';
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3);
};

const ratio = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? '-' : value.toFixed(3);

export function toTable({ node, machine, load, measures, disturbed, flagged }: Report): string {
  const head = ['measure', 'floor', 'server', 'ratio', 'low–high', 'in cpu', 'cpu µs', 'goal', 'aim', ''];
  const rows = measures.map((one) => {
    const sign = one.bound === 'least' ? '≥' : '≤';
    return [
      one.name, one.floor, one.server, ratio(one.value), `${ratio(one.lowest)}–${ratio(one.highest)}`,
      ratio(one.cpuRatio), one.serverCpuMicros === undefined ? '-' : figure(one.serverCpuMicros),
      `${sign} ${one.goal}`, `${sign} ${one.aim}`, holds(one) ? 'reached' : 'missed',
    ];
  });
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => '-'.repeat(width + 1) + (i === 0 ? '-' : ':')).join('|')}|`;
  return [
    `Node ${node}, ${machine}, load by ${load}`,
    '',
    line(head),
    rule,
    ...rows.map(line),
    ...(disturbed.length === 0 ? [] : ['', `Other processes disturbed: ${disturbed.join(', ')}`]),
    ...(flagged.length === 0 ? [] : ['', 'NOT TO BE TRUSTED:', ...flagged.map((one) => `  ${one}`)]),
  ].join('\n');
}
