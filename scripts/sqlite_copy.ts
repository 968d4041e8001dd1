import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { knownMigrations } from '../src/db/init_db.ts';
import { pendingMigrations } from '../src/db/migrations.ts';
import type { AppliedMigration } from '../src/db/migrations.ts';

/** What a copy holds. */
export interface Contents {
  migrations: number;
  users: number;
  sessions: number;
}

/** One step copies everything, so that it is one moment's state and no write of the server begins it anew. */
const WHOLE = { rate: 2 ** 30 };
const LOCK_TRIES = 20;
const LOCK_PAUSE_MS = 100;

/**
 * Copies the database, which may be in use, into a new file: one file without a WAL, on the disk and checked when the
 * promise is kept. Error: the file exists, or the copy is not sound; nothing is left behind then, nor by Ctrl-C.
 */
export async function backUp(from: string, to: string): Promise<Contents> {
  if (existsSync(to)) throw new Error(`${to} exists; name a new file.`);
  const folder = path.dirname(to);
  if (!existsSync(folder)) throw new Error(`There is no folder ${folder}.`);
  const part = `${to}.part`;
  const clear = (): void => [part, `${part}-journal`].forEach((file) => rmSync(file, { force: true }));
  const giveUp = (): never => {
    clear();
    process.exit(1);
  };
  clear();
  process.on('SIGINT', giveUp);
  process.on('SIGTERM', giveUp);
  try {
    using source = new DatabaseSync(from, { readOnly: true });
    await copyWhole(source, part, { from, to, inUse: from });
    using copy = new DatabaseSync(part);
    copy.exec('PRAGMA journal_mode = DELETE');
    copy.close();
    const contents = inspect(part);
    const descriptor = openSync(part, 'r+');
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(part, to);
    return contents;
  } finally {
    process.off('SIGINT', giveUp);
    process.off('SIGTERM', giveUp);
    clear();
  }
}

/**
 * Replaces what the database holds by what the copy holds, in one transaction: a server that runs sees the one, and
 * then the other. Error: somebody else keeps it locked; nothing has changed then.
 */
export async function restore(from: string, to: string): Promise<void> {
  using source = open(from);
  await copyWhole(source, to, { from, to, inUse: to });
}

/** Error: the file in use is locked, or what is in the way, with both names. */
async function copyWhole(
  source: DatabaseSync, target: string, { from, to, inUse }: { from: string; to: string; inUse: string },
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await backup(source, target, WHOLE);
      return;
    } catch (cause) {
      // A lock is no error to node:sqlite, which fails all the same.
      if ((cause as { errcode?: number }).errcode !== 0) throw new Error(`${from} can't be copied to ${to}.`, { cause });
      if (tries === LOCK_TRIES) throw new Error(`${inUse} is locked by somebody who writes to it; try again.`);
      await sleep(LOCK_PAUSE_MS);
    }
  }
}

/** What a copy holds. Error: it is damaged, or this code does not know its schema. */
export function inspect(file: string): Contents {
  if (!existsSync(file)) throw new Error(`There is no file ${file}.`);
  const wal = `${file}-wal`;
  if (existsSync(wal) && statSync(wal).size > 0) throw new Error(`${file} is in use: ${wal} holds a part of it.`);
  using db = open(file);
  const all = (sql: string): Record<string, unknown>[] => db.prepare(sql).all();
  const count = (table: string): number => Number(all(`SELECT count(*) AS n FROM ${table}`)[0]!['n']);
  let damage: unknown;
  try {
    damage = all('PRAGMA integrity_check(1)')[0]!['integrity_check'];
  } catch (cause) {
    throw new Error(`${file} is no SQLite database, or damaged.`, { cause });
  }
  if (damage !== 'ok') throw new Error(`${file} is damaged: ${String(damage).replaceAll(/\s+/g, ' ')}`);
  if (all('PRAGMA foreign_key_check').length > 0) throw new Error(`${file} is damaged: rows refer to none.`);
  if (all("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'").length === 0) {
    throw new Error(`${file} is not a database of this server.`);
  }
  const applied = all('SELECT version, name, checksum FROM schema_migrations ORDER BY version');
  pendingMigrations(applied as unknown as AppliedMigration[], knownMigrations({ kind: 'sqlite' }));
  return { migrations: applied.length, users: count('users'), sessions: count('sessions') };
}

/** Immutable: nothing is written beside it, and a folder that can only be read will do. */
function open(file: string): DatabaseSync {
  const url = pathToFileURL(file);
  url.search = 'mode=ro&immutable=1';
  try {
    return new DatabaseSync(url, { readOnly: true });
  } catch (cause) {
    throw new Error(`${file} can't be read.`, { cause });
  }
}

export const toSentence = ({ migrations, users, sessions }: Contents): string =>
  `sound, ${migrations} migrations, ${users} users, ${sessions} sessions`;
