import type { Config } from '../core/config.ts';
import type { Database } from './database.ts';
import { openSqlite } from './sqlite.ts';
import type { ToWriter } from './sqlite_writer.ts';

/** How long `migrate` waits for a database that is away: servers that are started together do not start in order. */
const PATIENCE_MS = 30_000;

export interface DatabaseParts {
  /** Nanoseconds. */
  monotonic: () => number;
  /** Called once when `migrate` finds nobody there and goes on asking. */
  onWait?: (reason: unknown) => void;
  /** In a thread beside others: opens a way to the process's one writer, for an engine that has such. */
  toWriter?: () => ToWriter;
}

/** The database that DATABASE_URL names; nothing is touched before its first use. */
export async function openDatabase(
  { databaseUrl, databasePoolMax }: Pick<Config, 'databaseUrl' | 'databasePoolMax'>,
  { monotonic, onWait = () => {}, toWriter }: DatabaseParts,
): Promise<Database> {
  const file = sqliteFile(databaseUrl);
  if (file !== undefined) return openSqlite({ file, toWriter });
  const { openPostgres } = await import('./postgres.ts');
  const now = (): number => monotonic() / 1e6;
  return openPostgres({ url: databaseUrl, poolMax: databasePoolMax, now, patienceMs: PATIENCE_MS, onWait });
}

/**
 * How many of the process's database connections a thread may have: 0 is the main one, which gets one beside others,
 * and 1, 2, … are those that serve.
 */
export function poolOf({ workers, databasePoolMax }: Config, thread: number): number {
  if (workers === 1) return databasePoolMax;
  if (thread === 0) return 1;
  const left = databasePoolMax - 1;
  return Math.floor(left / workers) + (thread <= left % workers ? 1 : 0);
}

/** The path behind `sqlite:PATH`, `:memory:` for a database without one; undefined for another engine. */
export const sqliteFile = (databaseUrl: string): string | undefined =>
  databaseUrl.startsWith('sqlite:') ? databaseUrl.slice('sqlite:'.length) : undefined;
