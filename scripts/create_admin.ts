import { uuidv7 } from '../src/core/uuid.ts';
import * as users from '../src/db/users.ts';
import { askPasswordHash, checkEmail, runCommand, say, withAccounts } from './shared.ts';

const help = `Usage: node scripts/create_admin.ts EMAIL [--promote]

Opens an account with the role of administrator. The password is asked for, or
read from standard input.

  --promote         make the account that has this address an administrator; its
                    password stays
  --env-file FILE   settings, as for the server (.env)
`;

if (import.meta.main) {
  await runCommand({
    help,
    least: 1,
    options: { promote: { type: 'boolean' } },
    run: ({ args: [email = ''], has, config }) =>
      withAccounts(config, async (db) => {
        checkEmail(email);
        const now = Date.now();
        const found = await users.byEmail(db, email);
        if (has('promote')) {
          if (found === undefined) throw new Error(`There is no account with the address ${email}.`);
          await users.manage(db, found.id, { role: 'admin', isActive: undefined, fullName: undefined }, now);
          return say(`${found.email} is an administrator.`);
        }
        if (found !== undefined) throw new Error(`${email} has an account; --promote makes it an administrator.`);
        const passwordHash = await askPasswordHash(config);
        const admin = { id: uuidv7(now), email, fullName: undefined, role: 'admin' as const, passwordHash };
        if ((await users.insert(db, admin, now)) === undefined) throw new Error(`${email} has an account by now.`);
        say(`${email} is an administrator.`);
      }),
  });
}
