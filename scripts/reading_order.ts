// README's reading order for an auditor, with the lines of each file.
//
//   node scripts/reading_order.ts            prints the table
//   node scripts/reading_order.ts --write    puts it into README.md

import './require_node.cjs';

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** The core, from the start of the process and the path of a request to what these rest on. */
const ORDER: readonly [part: string, files: readonly [file: string, says: string][]][] = [
  [
    'The path of a request',
    [
      ['main.js', "Node's version, and the cache of compiled code; `main.ts` is a link to it"],
      ['start.ts', 'command line and settings'],
      ['serve.ts', 'begins and ends: signals, log, database, server; with the two above, all that touches `process`'],
      ['app.ts', 'puts the parts together; the tests use the same one'],
      ['api/pipeline.ts', 'the order of proof: route, signature, bucket, user, body, handler'],
      ['api/deps.ts', 'what a handler may reach, and who may call: anyone, bearer, admin'],
      ['api/limits.ts', 'taking tokens from buckets, and what the client is told'],
      ['core/errors.ts', 'every refusal there is'],
    ],
  ],
  [
    'What the server says',
    [
      ['api/router.ts', 'the list of routes'],
      ['api/routes/auth.ts', 'register, login, refresh, logout'],
      ['api/routes/account.ts', 'passwords, changed and forgotten, and what else comes by mail'],
      ['api/routes/users.ts', "one's own account, and all of them for administrators"],
      ['schemas/auth.ts', 'shapes of sessions and tokens'],
      ['schemas/user.ts', 'shapes of users, and the one way out for them'],
    ],
  ],
  [
    'Rules',
    [
      ['core/passwords.ts', 'scrypt: bounded, on threads of its own, equal work for the unknown'],
      ['core/tokens.ts', 'HS256, signature before claims'],
      ['core/rate_limit.ts', 'token buckets, each one integer'],
      ['core/rate_limit_shared.ts', 'taking from them, exactly, whatever the number of threads'],
      ['core/shared_table.ts', 'their memory: bounded, found and changed without a lock'],
      ['core/forgettable.ts', 'who is forgotten first when it is full'],
      ['core/config.ts', 'every setting, and how they have to agree'],
      ['core/load_config.ts', 'reading them once, all faults at once'],
      ['core/settings.ts', 'how the text of a setting is read'],
    ],
  ],
  [
    'What is remembered',
    [
      ['db/database.ts', 'the three verbs of a database'],
      ['db/users.ts', 'every SQL text about users'],
      ['db/sessions.ts', 'every SQL text about sessions'],
      ['db/init_db.ts', 'schema and first administrator'],
      ['db/migrations.ts', 'which migrations are due, and which are refused'],
      ['db/sqlite.ts', 'the engine: readers here, one writer elsewhere'],
      ['db/sqlite_connection.ts', 'one connection, and what it may not do'],
    ],
  ],
  [
    'What one would otherwise have downloaded',
    [
      ['http/server.ts', '`node:http`, with time and size bounded'],
      ['http/exchange.ts', 'one request and its answer'],
      ['http/target.ts', 'what a request target may look like'],
      ['http/body.ts', 'reading a body'],
      ['http/route.ts', 'the literal that a route is, and its types'],
      ['http/router.ts', 'finding it'],
      ['http/schema.ts', 'a schema is its JSON Schema; checking against it'],
      ['http/problem.ts', 'problem+json'],
      ['http/client_ip.ts', 'whose request it is, behind proxies'],
    ],
  ],
];

export const files: readonly string[] = ORDER.flatMap(([, part]) => part.map(([file]) => `src/${file}`));

export const linesOf = (file: string): number => readFileSync(join(root, file), 'utf8').split('\n').length - 1;

export function readingOrder(): string {
  const rows = ORDER.flatMap(([title, part]) => {
    const sum = part.reduce((lines, [file]) => lines + linesOf(`src/${file}`), 0);
    return [
      `| **${title}** | **${sum}** | |`,
      ...part.map(([file, says]) => `| \`src/${file}\` | ${linesOf(`src/${file}`)} | ${says} |`),
    ];
  });
  return ['| file | lines | what it holds |', '|---|---:|---|', ...rows].join('\n');
}

if (import.meta.main) {
  const readme = join(root, 'README.md');
  if (process.argv[2] === '--write') {
    const between = /(?<=<!-- reading -->\n\n)[^]*?(?=\n\n<!-- \/reading -->)/;
    writeFileSync(readme, readFileSync(readme, 'utf8').replace(between, readingOrder));
  } else {
    console.log(readingOrder());
  }
}
