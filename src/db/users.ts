import { emailKey } from '../core/email.ts';
import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import { LAST_ID, listed, toUser, USER_COLUMNS } from './models.ts';
import type { Role, User } from './models.ts';
import type { Database, Row, Statement } from './database.ts';
import * as sessions from './sessions.ts';

const ALL = listed(USER_COLUMNS);
const BY_ID = `SELECT ${ALL} FROM users WHERE id = $1`;
const BY_EMAIL = `SELECT ${ALL} FROM users WHERE email_key = $1`;
const INSERT = `
  INSERT INTO users
    (id, email, email_key, email_verified_at, full_name, role, is_active, password_hash, created_at, updated_at)
  VALUES ($1, $2, $3, $8, $4, $5, 1, $6, $7, $7) ON CONFLICT (email_key) DO NOTHING`;
const FROM = `SELECT ${ALL} FROM users WHERE id > $1 ORDER BY id LIMIT $2`;
const SET_FULL_NAME = `UPDATE users SET full_name = $2, updated_at = $3 WHERE id = $1 RETURNING ${ALL}`;
const SET_PASSWORD = 'UPDATE users SET password_hash = $2, updated_at = $4 WHERE id = $1 AND password_hash = $3';
const RESET_PASSWORD = 'UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1 AND is_active = 1';
const VERIFY_EMAIL = `
  UPDATE users SET email_verified_at = COALESCE(email_verified_at, $2), updated_at = $2
  WHERE id = $1 AND is_active = 1`;
const REHASH = 'UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash = $3';
/** True unless the user `$1` is the only active administrator. */
const ANOTHER_ADMIN = `(
  (SELECT count(*) FROM users WHERE role = 'admin' AND is_active = 1 AND id <> $1) > 0
  OR NOT (role = 'admin' AND is_active = 1))`;
/** What is null stays as it is, but for the name, which `$4` says to set. */
const MANAGE = `
  UPDATE users SET role = COALESCE($2, role), is_active = COALESCE($3, is_active),
    full_name = CASE WHEN $4 = 1 THEN $5 ELSE full_name END, updated_at = $6
  WHERE id = $1 AND ((COALESCE($2, role) = 'admin' AND COALESCE($3, is_active) = 1) OR ${ANOTHER_ADMIN})
  RETURNING ${ALL}`;
const DELETE = `DELETE FROM users WHERE id = $1 AND ${ANOTHER_ADMIN}`;

const userOr = (row: Row | undefined): User | undefined => (row === undefined ? undefined : toUser(row));

export const byId = (db: Database, id: string): Maybe<User | undefined> => then(db.one(BY_ID, [id]), userOr);

export const byEmail = (db: Database, email: string): Maybe<User | undefined> =>
  then(db.one(BY_EMAIL, [emailKey(email)]), userOr);

export interface NewUser {
  id: string;
  email: string;
  fullName: string | undefined;
  role: Role;
  passwordHash: string;
  emailVerifiedAt?: number;
}

/** The user, or undefined when the address is taken; `along` is written with it. */
export async function insert(
  db: Database,
  user: NewUser,
  now: number,
  along: readonly Statement[] = [],
): Promise<User | undefined> {
  const { id, email, fullName, role, passwordHash, emailVerifiedAt } = user;
  const params = [id, email, emailKey(email), fullName ?? null, role, passwordHash, now, emailVerifiedAt ?? null];
  if ((await db.write([{ sql: INSERT, params, changes: 1, byKey: true }, ...along])) === undefined) return undefined;
  return { ...user, emailVerifiedAt, isActive: true, createdAt: now, updatedAt: now };
}

/** The changed user, or undefined when there is none any more. */
export async function setFullName(
  db: Database,
  id: string,
  fullName: string | undefined,
  now: number,
): Promise<User | undefined> {
  const params = [id, fullName ?? null, now];
  const done = await db.write([{ sql: SET_FULL_NAME, params, changes: 1 }]);
  return userOr(done?.[0]?.rows[0]);
}

/**
 * Replaces the hash and ends all sessions but `keep`; false when the hash was no longer `before`. `along` is written
 * with it.
 */
export async function changePassword(
  db: Database,
  change: { id: string; before: string; after: string; keep: string | undefined },
  now: number,
  along: readonly Statement[] = [],
): Promise<boolean> {
  const { id, before, after, keep } = change;
  const set: Statement = { sql: SET_PASSWORD, params: [id, after, before, now], changes: 1 };
  return (await db.write([set, sessions.ending(id, keep), ...along])) !== undefined;
}

/**
 * Replaces the hash, whatever it was, and ends all sessions, if `along` is written with it; false when it is not, or
 * the account is gone or disabled.
 */
export const resetPassword = async (
  db: Database,
  id: string,
  hash: string,
  now: number,
  along: readonly Statement[],
): Promise<boolean> => {
  const reset: Statement = { sql: RESET_PASSWORD, params: [id, hash, now], changes: 1 };
  return (await db.write([...along, reset, sessions.ending(id)])) !== undefined;
};

/** Likewise: notes that the address is the user's. */
export const verifyEmail = async (
  db: Database,
  id: string,
  now: number,
  along: readonly Statement[],
): Promise<boolean> =>
  (await db.write([...along, { sql: VERIFY_EMAIL, params: [id, now], changes: 1 }])) !== undefined;

/** Part of a login: stores the same password under another cost. */
export const rehash = (id: string, before: string, after: string): Statement => ({
  sql: REHASH,
  params: [id, after, before],
});

/** What is to be changed: undefined leaves a field as it is, a null name clears it. */
export interface ManagedFields {
  role: Role | undefined;
  isActive: boolean | undefined;
  fullName: string | null | undefined;
}

/**
 * The changed user, or undefined when there is none or no active administrator would be left. Only what is named is
 * written: of two changes at once neither brings back what the other replaced. Disabling ends the sessions.
 */
export async function manage(
  db: Database,
  id: string,
  { role, isActive, fullName }: ManagedFields,
  now: number,
): Promise<User | undefined> {
  const active = isActive === undefined ? null : Number(isActive);
  const params = [id, role ?? null, active, fullName === undefined ? 0 : 1, fullName ?? null, now];
  const statements: Statement[] = [{ sql: MANAGE, params, changes: 1 }];
  if (isActive === false) statements.push(sessions.ending(id));
  const done = await db.write(statements);
  return userOr(done?.[0]?.rows[0]);
}

/** False when there is none or no active administrator would be left. Sessions go with it. */
export const remove = async (db: Database, id: string): Promise<boolean> =>
  (await db.write([{ sql: DELETE, params: [id], changes: 1 }])) !== undefined;

export interface Listing {
  /** Continue behind this id; undefined for the first page. */
  after: string | undefined;
  limit: number;
  role: Role | undefined;
  /** A prefix of the address. */
  prefix: string | undefined;
}

/** Sorts behind every address: they are ASCII. */
const BEYOND_ASCII = '\u{10FFFF}';

/** As literals, which the index of administrators needs; a parameter would keep it from being used. */
const OF_ROLE = { any: '', user: "AND role = 'user'", admin: "AND role = 'admin'" };
const byNewest = (ofRole: string): string =>
  `SELECT ${ALL} FROM users WHERE id < $1 ${ofRole} ORDER BY id DESC LIMIT $2`;
const byPrefix = (ofRole: string): string => `
  SELECT ${ALL} FROM users WHERE id IN (
    SELECT id FROM users WHERE email_key >= $3 AND email_key < $4 AND id < $1 ${ofRole} ORDER BY id DESC LIMIT $2
  ) ORDER BY id DESC`;
const walked = (ofRole: string): string => `
  SELECT ${ALL} FROM users WHERE id < $1 AND substr(email_key, 1, $4) = $3 ${ofRole} ORDER BY id DESC LIMIT $2`;
const COUNT_PREFIX = `
  SELECT count(*) FROM (SELECT 1 FROM users WHERE email_key >= $1 AND email_key < $2 LIMIT $3) AS found`;
const LIST = { any: byNewest(OF_ROLE.any), user: byNewest(OF_ROLE.user), admin: byNewest(OF_ROLE.admin) };
const SEARCH = { any: byPrefix(OF_ROLE.any), user: byPrefix(OF_ROLE.user), admin: byPrefix(OF_ROLE.admin) };
const WALK = { any: walked(OF_ROLE.any), user: walked(OF_ROLE.user), admin: walked(OF_ROLE.admin) };
/** Users from which on a prefix is common: sorting them takes longer than walking all users until a page is full. */
const COMMON = 1_000;

/** A page, newest first: ids sort by the time they were made. */
export function list(db: Database, { after = LAST_ID, limit, role, prefix }: Listing): Maybe<User[]> {
  const kind = role ?? 'any';
  if (prefix === undefined) return then(db.all(LIST[kind], [after, limit]), toUsers);
  const key = emailKey(prefix);
  const beyond = `${key}${BEYOND_ASCII}`;
  return then(db.one(COUNT_PREFIX, [key, beyond, COMMON]), (row) =>
    row![0] === COMMON
      ? then(db.all(WALK[kind], [after, limit, key, key.length]), toUsers)
      : then(db.all(SEARCH[kind], [after, limit, key, beyond]), toUsers),
  );
}

/** Up to `limit` users behind the id `after`, oldest first; all begin behind ''. */
export const from = (db: Database, after: string, limit: number): Maybe<User[]> =>
  then(db.all(FROM, [after, limit]), toUsers);

const toUsers = (rows: Row[]): User[] => rows.map((row) => toUser(row));
