import * as sessions from '../src/db/sessions.ts';
import { runCommand, say, Usage, userOf, withAccounts } from './shared.ts';

const help = `Usage: node scripts/end_sessions.ts EMAIL | --all

Ends the sessions of an account, or of all: their tokens are refused from the
next request on.

  --env-file FILE   settings, as for the server (.env)
`;

if (import.meta.main) {
  await runCommand({
    help,
    most: 1,
    options: { all: { type: 'boolean' } },
    run({ args: [email], has, config }) {
      if (has('all') === (email !== undefined)) throw new Usage('Give an address or --all; see --help');
      return withAccounts(config, async (db) => {
        if (email === undefined) return say(`${await sessions.endEverybodys(db)} sessions have ended.`);
        await sessions.endAll(db, (await userOf(db, email)).id);
        say(`The sessions of ${email} have ended.`);
      });
    },
  });
}
