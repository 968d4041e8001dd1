import { roles } from '../src/db/models.ts';
import type { User } from '../src/db/models.ts';
import * as users from '../src/db/users.ts';
import { toUserOut } from '../src/schemas/user.ts';
import { runCommand, say, Usage, withAccounts } from './shared.ts';

const help = `Usage: node scripts/list_users.ts [--role ROLE] [--prefix TEXT] [--json]

Lists the accounts, newest first.

  --role ROLE       only those with this role: ${roles.join(' or ')}
  --prefix TEXT     only those whose address begins with this
  --json            an object a line
  --env-file FILE   settings, as for the server (.env)
`;

const PAGE = 100;

const toLine = ({ id, email, role, isActive, createdAt }: User): string =>
  `${id}  ${role.padEnd(5)}  ${isActive ? 'active  ' : 'disabled'}  ${new Date(createdAt).toISOString()}  ${email}`;

if (import.meta.main) {
  await runCommand({
    help,
    options: { role: { type: 'string' }, prefix: { type: 'string' }, json: { type: 'boolean' } },
    run({ has, value, config }) {
      const role = roles.find((each) => each === value('role'));
      if (role === undefined && value('role') !== undefined) throw new Usage(`--role: ${roles.join(' or ')}`);
      return withAccounts(config, async (db) => {
        let after: string | undefined;
        do {
          const page = await users.list(db, { after, limit: PAGE, role, prefix: value('prefix') });
          for (const user of page) say(has('json') ? JSON.stringify(toUserOut(user)) : toLine(user));
          after = page.length < PAGE ? undefined : page.at(-1)!.id;
        } while (after !== undefined);
      });
    },
  });
}
