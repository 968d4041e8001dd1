import type { Config } from '../core/config.ts';
import type { Database } from './database.ts';
import { openSqlite } from './sqlite.ts';
import type { ToWriter } from './sqlite_writer.ts';

/** Servers that are started together do not start in order. */
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

/** The path behind `sqlite:PATH`, `:memory:` for a database without one; undefined for another engine. */
export const sqliteFile = (databaseUrl: string): string | undefined =>
  databaseUrl.startsWith('sqlite:') ? databaseUrl.slice('sqlite:'.length) : undefined;
