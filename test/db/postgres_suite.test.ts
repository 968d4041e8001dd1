import { openPostgres } from '../../src/db/postgres.ts';
import { createDatabase, now, withoutServer } from '../helpers/postgres.ts';
import { databaseSuite } from './database_suite.ts';

databaseSuite(
  'PostgreSQL',
  async () => {
    const { url, drop } = await createDatabase();
    const db = openPostgres({ url, poolMax: 8, now, timeoutMs: 60_000 });
    return { ...db, close: () => db.close().finally(drop) };
  },
  withoutServer || undefined,
);
