import * as users from '../src/db/users.ts';
import { askPasswordHash, runCommand, say, userOf, withAccounts } from './shared.ts';

const help = `Usage: node scripts/set_password.ts EMAIL

Gives an account a new password and ends its sessions. The password is asked
for, or read from standard input.

  --env-file FILE   settings, as for the server (.env)
`;

if (import.meta.main) {
  await runCommand({
    help,
    least: 1,
    run: ({ args: [email = ''], config }) =>
      withAccounts(config, async (db) => {
        const { id, passwordHash: before } = await userOf(db, email);
        const change = { id, before, after: await askPasswordHash(config), keep: undefined };
        if (!(await users.changePassword(db, change, Date.now()))) {
          throw new Error('The password was changed by somebody else meanwhile, or the account deleted; try again.');
        }
        say(`${email} has a new password, and its sessions have ended.`);
      }),
  });
}
