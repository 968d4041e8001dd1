import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import { listed, SESSION_COLUMNS, toSession, toUser, USER_COLUMNS } from './models.ts';
import type { Session, User } from './models.ts';
import type { Database, Row, Statement } from './database.ts';

/** A user has at most this many live sessions; one more ends the oldest. */
export const MAX_SESSIONS = 100;

const WITH_USER = `
  SELECT ${listed(USER_COLUMNS, 'u')}, ${listed(SESSION_COLUMNS, 's')}
  FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1`;
const CALLER = `
  SELECT ${listed(USER_COLUMNS, 'u')}, s.expires_at
  FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1`;
/** Holds only while the account is active and its password is still the one that was checked. */
const INSERT = `
  INSERT INTO sessions (${listed(SESSION_COLUMNS)})
  SELECT $1, id, $3, $3, $4, $5, $6, $7, NULL, $3 FROM users WHERE id = $2 AND is_active = 1 AND password_hash = $8`;
/** Never the new session `$4` itself, wherever the clock puts its id. */
const END_SURPLUS = `
  DELETE FROM sessions WHERE user_id = $1 AND id <> $4 AND (expires_at <= $2 OR id NOT IN (
    SELECT id FROM sessions WHERE user_id = $1 AND id <> $4 AND expires_at > $2 ORDER BY id DESC LIMIT $3))`;
const ROTATE = `
  UPDATE sessions SET refresh_jti = $3, previous_jti = $2, rotated_at = $4, last_used_at = $4
  WHERE id = $1 AND refresh_jti = $2`;
const TOUCH = 'UPDATE sessions SET last_used_at = $2 WHERE id = $1';
const END = 'DELETE FROM sessions WHERE id = $1';
const END_OWN = 'DELETE FROM sessions WHERE id = $1 AND user_id = $2 AND expires_at > $3';
const END_ALL = 'DELETE FROM sessions WHERE user_id = $1';
const END_OTHERS = 'DELETE FROM sessions WHERE user_id = $1 AND id <> $2';
const END_EVERYBODYS = 'DELETE FROM sessions';
const PURGE = `
  DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`;
const LIVE = `
  SELECT ${listed(SESSION_COLUMNS)} FROM sessions
  WHERE user_id = $1 AND expires_at > $2 ORDER BY id DESC LIMIT ${MAX_SESSIONS}`;

export interface Login {
  session: Session;
  user: User;
}

/** What every request with a token needs to know. */
export interface Caller {
  user: User;
  session: { id: string; expiresAt: number };
}

/** The session and whose it is, in one indexed read; undefined when it has ended. It may have expired. */
export const bySid = (db: Database, sid: string): Maybe<Login | undefined> =>
  then(db.one(WITH_USER, [sid]), toLogin);

/** Likewise, but only what every request with a token needs, and pays for. */
export const callerBySid = (db: Database, sid: string): Maybe<Caller | undefined> =>
  then(db.one(CALLER, [sid]), (row) =>
    row === undefined
      ? undefined
      : { user: toUser(row), session: { id: sid, expiresAt: row[USER_COLUMNS.length] as number } },
  );

const toLogin = (row: Row | undefined): Login | undefined =>
  row === undefined ? undefined : { user: toUser(row), session: toSession(row, USER_COLUMNS.length) };

/**
 * Keeps a new session and ends the user's expired and surplus ones; `rehash` rides along. False when the account was
 * disabled or deleted, or its password changed, since `passwordHash` was read.
 */
export async function start(
  db: Database,
  session: Session,
  passwordHash: string,
  rehash: Statement | undefined,
): Promise<boolean> {
  const { id, userId, createdAt, expiresAt, ip, userAgent, refreshJti } = session;
  const params = [id, userId, createdAt, expiresAt, ip, userAgent ?? null, refreshJti, passwordHash];
  const statements: Statement[] = [
    { sql: INSERT, params, changes: 1 },
    { sql: END_SURPLUS, params: [userId, createdAt, MAX_SESSIONS - 1, id] },
  ];
  if (rehash !== undefined) statements.push(rehash);
  return (await db.write(statements)) !== undefined;
}

/** Replaces the good refresh token `from` by `to`; false when `from` was not (any longer) the good one. */
export const rotate = async (db: Database, sid: string, from: string, to: string, now: number): Promise<boolean> =>
  (await db.write([{ sql: ROTATE, params: [sid, from, to, now], changes: 1, byKey: true }])) !== undefined;

/** Notes a use without rotation; false when the session has ended. */
export const touch = async (db: Database, sid: string, now: number): Promise<boolean> =>
  (await db.write([{ sql: TOUCH, params: [sid, now], changes: 1, byKey: true }])) !== undefined;

/** Ended sessions are deleted: nothing of them is needed to refuse their tokens. */
export const end = async (db: Database, sid: string): Promise<void> => {
  await db.write([{ sql: END, params: [sid], byKey: true }]);
};

/** False when the user has no such live session. */
export const endOwn = async (db: Database, sid: string, userId: string, now: number): Promise<boolean> =>
  (await db.write([{ sql: END_OWN, params: [sid, userId, now], changes: 1, byKey: true }])) !== undefined;

/** Part of a write: the user's sessions end, all but `keep`. */
export const ending = (userId: string, keep?: string): Statement =>
  keep === undefined ? { sql: END_ALL, params: [userId] } : { sql: END_OTHERS, params: [userId, keep] };

export const endAll = async (db: Database, userId: string): Promise<void> => {
  await db.write([ending(userId)]);
};

/** Ends every session of everybody; how many there were. */
export const endEverybodys = async (db: Database): Promise<number> =>
  (await db.write([{ sql: END_EVERYBODYS, params: [] }]))![0]!.changes;

/** Deletes at most `limit` sessions that have expired, of which nothing is needed any more; how many there were. */
export const purgeExpired = async (db: Database, now: number, limit: number): Promise<number> =>
  (await db.write([{ sql: PURGE, params: [now, limit] }]))![0]!.changes;

/** The user's live sessions, newest first. */
export const live = (db: Database, userId: string, now: number): Maybe<Session[]> =>
  then(db.all(LIVE, [userId, now]), (rows) => rows.map((row) => toSession(row)));
