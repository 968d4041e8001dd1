import { createHash, randomBytes } from 'node:crypto';

import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import type { Database, Statement } from './database.ts';

/** What somebody who can read an account's mail may do with a token from it. */
export type TokenPurpose = 'password_reset' | 'email_verification';

export const TOKEN_LIFETIME_MS: Readonly<Record<TokenPurpose, number>> = {
  password_reset: 30 * 60_000,
  email_verification: 24 * 3_600_000,
};

const INSERT = `
  INSERT INTO account_tokens (token_hash, user_id, purpose, expires_at)
  SELECT $1, id, $3, $4 FROM users WHERE id = $2 AND is_active = 1`;
const OWNER = 'SELECT user_id FROM account_tokens WHERE token_hash = $1 AND purpose = $2 AND expires_at > $3';
const USE = 'DELETE FROM account_tokens WHERE token_hash = $1 AND user_id = $2 AND expires_at > $3';
const PURGE = `
  DELETE FROM account_tokens WHERE token_hash IN (
    SELECT token_hash FROM account_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`;
const DROP = 'DELETE FROM account_tokens WHERE user_id = $1 AND purpose = $2';

/** Tokens are 256 random bits: their hash needs neither salt nor cost. */
const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64url');

/** A new token, of which only the hash is kept; undefined when there is no such active account. */
export async function issue(
  db: Database,
  userId: string,
  purpose: TokenPurpose,
  now: number,
): Promise<string | undefined> {
  const token = randomBytes(32).toString('base64url');
  const params = [hashOf(token), userId, purpose, now + TOKEN_LIFETIME_MS[purpose]];
  return (await db.write([{ sql: INSERT, params, changes: 1 }])) === undefined ? undefined : token;
}

/** Whose token it is; undefined when it is unknown, used or expired. */
export const ownerOf = (
  db: Database,
  token: string,
  purpose: TokenPurpose,
  now: number,
): Maybe<string | undefined> =>
  then(db.one(OWNER, [hashOf(token), purpose, now]), (row) => row?.[0] as string | undefined);

/** Part of the write that a token allows: it undoes all of it when another was quicker. */
export const use = (token: string, userId: string, now: number): Statement => ({
  sql: USE,
  params: [hashOf(token), userId, now],
  changes: 1,
});

/** Part of a write: the account's other tokens for the same purpose end. */
export const drop = (userId: string, purpose: TokenPurpose): Statement => ({ sql: DROP, params: [userId, purpose] });

/** Forgets up to `limit` tokens that have expired; how many. */
export const purge = async (db: Database, now: number, limit: number): Promise<number> =>
  (await db.write([{ sql: PURGE, params: [now, limit] }]))?.[0]?.changes ?? 0;
