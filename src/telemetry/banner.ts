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
  limit: { limit: number; windowMs: number };
}

/** The first words of a server: one line of the log, or a banner for people. */
export function announce(started: Started, pretty: boolean, log: Log, write: (text: string) => void): void {
  const { version, url, docs, environment, database, databaseFile, workers, limit, limitStore } = started;
  if (!pretty) {
    log.announce('listening', { url, docs, environment, database, workers });
  } else {
    const facts = {
      'API': url,
      ...(docs === undefined ? {} : { 'Docs': docs }),
      'Environment': environment,
      'Database': databaseFile === undefined ? database : `${database} ${databaseFile}`,
      'Workers': workers,
      'Limit': `${limit.limit} requests in ${limit.windowMs / 1000} s per client`,
      'Stop': 'Ctrl-C',
    };
    const lines = Object.entries(facts).map(([name, value]) => `  ${name.padEnd(12)} ${value}\n`);
    write(`\n  bare-api ${version}\n\n${lines.join('')}\n`);
  }
  if (environment !== 'production') return;
  if (database === 'sqlite') log.info('SQLite serves one machine; several instances need Postgres.');
  if (limitStore === 'memory') log.info('Limits hold for this process; several instances need Redis.');
  if (workers === 1) log.info('One thread serves; WORKERS=0 uses every core.');
}
