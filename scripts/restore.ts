import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';

import { migrate } from '../src/db/init_db.ts';
import { databaseFile, runCommand, say, withDatabase } from './shared.ts';
import { inspect, restore, toSentence } from './sqlite_copy.ts';

const help = `Usage: node scripts/restore.ts FILE [--verify | --replace]

Checks FILE, a copy made by scripts/backup.ts, and puts what it holds into the
database, in one transaction: a server that runs goes on with it. What the
copy's schema lacks is applied. For PostgreSQL use pg_restore.

  --verify          only check the copy
  --replace         throw away what the database holds; without this only a new
                    one is made
  --env-file FILE   settings, as for the server (.env)
`;

if (import.meta.main) {
  await runCommand({
    help,
    least: 1,
    options: { verify: { type: 'boolean' }, replace: { type: 'boolean' } },
    async run({ args: [from = ''], has, config }) {
      const to = databaseFile(config, 'restore it with pg_restore --clean --dbname=DATABASE_URL FILE');
      say(`${from}: ${toSentence(inspect(from))}`);
      if (has('verify')) return;
      if (existsSync(to) && !has('replace')) {
        throw new Error(`${to} exists; --replace throws away what it holds. Back it up first.`);
      }
      mkdirSync(path.dirname(to), { recursive: true, mode: 0o700 });
      await restore(from, to);
      await withDatabase(config, migrate);
      say(`${to}: restored`);
    },
  });
}
