import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { uuidv7 } from '../../src/core/uuid.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/init_db.ts';
import * as sessions from '../../src/db/sessions.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import * as users from '../../src/db/users.ts';
import type { ClientBench } from './clients.ts';
import { figure, median, ratios } from './report.ts';

const sizes = { few: 1000, many: 1_000_000 };
const goal = { goal: 1.15, aim: 1.15 };
const pageSize = 20;
/** Of whom the reads are, at either size. */
const readers = 1000;
const readsEach = 30_000;
/** Reads of one turn of the event loop, as under load. */
const readsATurn = 20;

/** A database with one session for each of its users, and what to ask it for. */
interface Filled {
  db: Database;
  sids: string[];
  emails: string[];
  /** The id that the page ten thousand begins behind; in the small database that the last page does. */
  deep: string;
}

/** Reads of the smallest and of a large SQLite database by the server's own verbs, in turns. */
export async function measureScale(
  { rounds, report, say }: Pick<ClientBench, 'rounds' | 'report' | 'say'>,
  folder: string,
): Promise<void> {
  const few = await fill(join(folder, 'few.db'), sizes.few);
  say(`filling a database with ${figure(sizes.many)} users and sessions`);
  const many = await fill(join(folder, 'many.db'), sizes.many);
  const page = { limit: pageSize, role: undefined, prefix: undefined };
  const reads: [name: string, read: (filled: Filled, i: number) => unknown][] = [
    ['session and user of a token', ({ db, sids }, i) => sessions.callerBySid(db, sids[i % readers]!)],
    ['login lookup', ({ db, emails }, i) => users.byEmail(db, emails[i % readers]!)],
    ['page 1', ({ db }) => users.list(db, { ...page, after: undefined })],
    ['page 10,000 to the last of few', ({ db, deep }) => users.list(db, { ...page, after: deep })],
  ];
  for (const [name, read] of reads) {
    const micros: { few: number; many: number }[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const each = { few: await microsPerRead(few, read), many: await microsPerRead(many, read) };
      if (round > 0) micros.push(each); // The first round warms up.
    }
    report.measures.push({
      name: `${name}, 1,000,000 users`,
      floor: `${figure(median(micros.map((each) => each.few)))} µs`,
      server: `${figure(median(micros.map((each) => each.many)))} µs`,
      ...ratios(micros.map((each) => each.many / each.few), 'most', goal),
    });
    say(name);
  }
  await few.db.close();
  await many.db.close();
}

/** Of processor time. */
async function microsPerRead(filled: Filled, read: (filled: Filled, i: number) => unknown): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < readsEach; i += 1) {
    if (read(filled, i) === undefined) throw new Error('nothing was found');
    if (i % readsATurn === 0) await nextTurn();
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / readsEach;
}

async function fill(file: string, count: number): Promise<Filled> {
  const db = openSqlite({ file });
  await migrate(db);
  const direct = new DatabaseSync(file);
  direct.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; BEGIN');
  const addUser = direct.prepare(`
    INSERT INTO users (id, email, email_key, role, is_active, password_hash, created_at, updated_at)
    VALUES (?, ?, ?, 'user', 1, ?, ?, ?)`);
  const addSession = direct.prepare(`
    INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at, ip, user_agent, refresh_jti, rotated_at)
    VALUES (?, ?, ?, ?, ?, '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', ?, ?)`);
  const hash = `$scrypt$ln=15,r=8,p=3$${'a'.repeat(22)}$${'b'.repeat(43)}`;
  const start = Date.UTC(2026, 0, 1);
  const deepAt = Math.max(pageSize, count - 9_999 * pageSize);
  const filled: Filled = { db, sids: [], emails: [], deep: '' };
  for (let i = 0; i < count; i += 1) {
    const now = start + i;
    const [id, sid] = [uuidv7(now), uuidv7(now)];
    // Addresses come in no order, as people do.
    const email = `${sid.slice(24)}@example.com`;
    addUser.run(id, email, email, hash, now, now);
    addSession.run(sid, id, now, now, now + 30 * 86_400_000, sid, now);
    if (i === deepAt) filled.deep = id;
    if (i % (count / readers) !== 0) continue;
    filled.sids.push(sid);
    filled.emails.push(email);
  }
  direct.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
  direct.close();
  return filled;
}
