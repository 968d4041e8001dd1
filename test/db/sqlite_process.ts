// Another process at the same database file: node sqlite_process.ts FILE TASK. Says `ready` and waits for stdin to end.
import { once } from 'node:events';
import { DatabaseSync } from 'node:sqlite';

import { migrate } from '../../src/db/init_db.ts';
import { openSqlite } from '../../src/db/sqlite.ts';

/** How many new files, one after another, are looked at by `migrate`. */
const MIGRATED_FILES = 40;

const [file = '', task = ''] = process.argv.slice(2);
const released = once(process.stdin.resume(), 'end');

if (task === 'migrate') {
  process.stdout.write('ready\n');
  await released;
  const applied: number[] = [];
  for (let i = 0; i < MIGRATED_FILES; i++) {
    const db = openSqlite({ file: `${file}.${i}` });
    applied.push((await migrate(db)).length);
    await db.ping();
    await db.close();
  }
  process.stdout.write(`${JSON.stringify(applied)}\n`);
} else if (task === 'exhaust') {
  // The writer thread is asked for more than its heap can hold, and ends; its thread alone.
  const db = openSqlite({ file });
  const insert = (id: number) => db.write([{ sql: 'INSERT INTO things (id) VALUES ($1)', params: [id] }]);
  const much = Array.from({ length: 4_000 }, () => ({ sql: 'SELECT hex(zeroblob(25000))', params: [] }));
  const settled = await Promise.allSettled([insert(1), db.write(much), insert(2)]);
  const then = await Promise.allSettled([insert(3)]);
  const said = [...settled, ...then].map((each) => (each.status === 'rejected' ? each.reason.code : each.status));
  process.stdout.write(`${JSON.stringify(said)}\n`);
  await db.close();
} else {
  const other = new DatabaseSync(file);
  other.exec(task);
  process.stdout.write('ready\n');
  await released;
  other.close();
}
