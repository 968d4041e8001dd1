import type { Config } from '../core/config.ts';
import type { Database } from './database.ts';
import { openSqlite } from './sqlite.ts';

/** The database that DATABASE_URL names; nothing is touched before its first use. */
export function openDatabase({ databaseUrl }: Pick<Config, 'databaseUrl'>): Database {
  return openSqlite({ file: sqliteFile(databaseUrl)! });
}

/** The path behind `sqlite:PATH`, `:memory:` for a database without one; undefined for another engine. */
export const sqliteFile = (databaseUrl: string): string | undefined =>
  databaseUrl.startsWith('sqlite:') ? databaseUrl.slice('sqlite:'.length) : undefined;
