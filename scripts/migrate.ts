import { existsSync } from 'node:fs';

import { appliedMigrations, knownMigrations, migrate } from '../src/db/init_db.ts';
import { pendingMigrations, toTitle } from '../src/db/migrations.ts';
import { sqliteFile } from '../src/db/session.ts';
import { runCommand, say, withDatabase, withNewDatabase } from './shared.ts';

const help = `Usage: node scripts/migrate.ts [--status | --dry-run]

Brings the schema of the database up to date, as the server does when it starts.

  --status          only list what has been applied and what has not
  --dry-run         only print what would be done
  --env-file FILE   settings, as for the server (.env)
`;

if (import.meta.main) {
  await runCommand({
    help,
    options: { status: { type: 'boolean' }, 'dry-run': { type: 'boolean' } },
    async run({ has, config }) {
      const file = sqliteFile(config.databaseUrl);
      const isNew = file !== undefined && !existsSync(file);
      const known = knownMigrations({ kind: file === undefined ? 'postgres' : 'sqlite' });
      if (has('status') || has('dry-run')) {
        const applied = isNew ? [] : await withDatabase(config, appliedMigrations);
        const pending = pendingMigrations(applied, known);
        if (has('dry-run')) {
          for (const each of pending) say(`-- ${toTitle(each)}\n${each.sql}`);
          return say(`-- ${pending.length} to apply`);
        }
        for (const each of applied) say(`applied  ${toTitle(each)}`);
        for (const each of pending) say(`pending  ${toTitle(each)}`);
        return;
      }
      await withNewDatabase(config, async (db) => {
        const done = await migrate(db);
        for (const each of done) say(`applied  ${toTitle(each)}`);
        if (done.length === 0) say('The schema is up to date.');
      });
    },
  });
}
