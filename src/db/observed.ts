import type { Maybe } from '../core/maybe.ts';
import type { Database } from './database.ts';

/** Runs `work`, the statement or transaction whose text is `sql`, and returns what it returns. */
export type Observe = <T>(sql: string, work: () => Maybe<T>) => Maybe<T>;

/** The same database, each of whose reads and writes runs inside `observe`. */
export const observed = (db: Database, observe: Observe): Database => ({
  ...db,
  one: (sql, params) => observe(sql, () => db.one(sql, params)),
  all: (sql, params) => observe(sql, () => db.all(sql, params)),
  write: async (statements) => observe(statements.map(({ sql }) => sql.trim()).join(';\n'), () => db.write(statements)),
});
