import { backUp, toSentence } from './sqlite_copy.ts';
import { assertIsThere, databaseFile, runCommand, say } from './shared.ts';

const help = `Usage: node scripts/backup.ts FILE

Copies the database into FILE, which must not exist, and checks the copy. The
server may run. The copy is one moment's state. The key of the tokens (beside
the database, or JWT_SECRET) is not in it. For PostgreSQL use pg_dump.

  --env-file FILE   settings, as for the server (.env)
`;

if (import.meta.main) {
  await runCommand({
    help,
    least: 1,
    async run({ args: [to = ''], config }) {
      const from = databaseFile(config, 'back it up with pg_dump --format=custom --file=FILE DATABASE_URL');
      assertIsThere(from);
      say(`${to}: ${toSentence(await backUp(from, to))}`);
    },
  });
}
