import { toWords } from '../core/rate_limit.ts';
import type { Limit } from '../core/settings.ts';
import type { Log } from './log.ts';

/** What a server says of itself when it listens. */
export interface Started {
  version: string;
  url: string;
  docs: string | undefined;
  environment: string;
  /** Its kind, and for people where it is. */
  database: 'sqlite' | 'postgres';
  databaseFile: string | undefined;
  limitStore: 'memory' | 'redis';
  workers: number;
  /** How many in which time one client may send. */
  limits: { request: Limit; login: Limit };
}

/** The first words of a server: one line of the log, or a banner for people. */
export function announce(
  started: Started,
  { pretty, color }: { pretty: boolean; color: boolean },
  log: Log,
  write: (text: string) => void,
): void {
  const { url, docs, environment, database, workers, limitStore } = started;
  if (pretty) write(banner(started, color));
  else log.announce('listening', { url, docs, environment, database, workers });
  if (environment !== 'production') return;
  if (database === 'sqlite') log.info('SQLite serves one machine; several instances need Postgres.');
  if (limitStore === 'memory') log.info('Limits hold for this process; several instances need Redis.');
  if (workers === 1) log.info('One thread serves; WORKERS=0 uses every core.');
}

function banner(started: Started, color: boolean): string {
  const { version, url, docs, environment, database, databaseFile, workers, limits, limitStore } = started;
  const facts: [name: string, value: string][] = [
    ['API', url],
    ['Docs', docs ?? 'off'],
    ['Environment', environment],
    ['Database', databaseFile === undefined ? database : `${database} ${databaseFile}`],
    ['Limits', `${toWords(limits.request, 'request')}, ${toWords(limits.login, 'login')} per client, in ${limitStore}`],
    ['Workers', String(workers)],
    ['Stop', 'Ctrl-C; once more to stop at once'],
  ];
  const paint = (sgr: number, text: string): string => (color ? `\x1b[${sgr}m${text}\x1b[0m` : text);
  const lines = facts.map(([name, value]) => `  ${paint(DIM, name.padEnd(12))} ${value}\n`);
  return `\n  ${paint(BOLD, 'bare-api')} ${version}\n\n${lines.join('')}\n`;
}

/** SGR parameters (ECMA-48 §8.3.117). */
const BOLD = 1;
const DIM = 90;
