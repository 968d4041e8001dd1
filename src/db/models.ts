import type { Row } from './database.ts';

export const roles = ['user', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Times are ms since 1970. */
export interface User {
  id: string;
  /** As typed. */
  email: string;
  emailVerifiedAt: number | undefined;
  fullName: string | undefined;
  role: Role;
  isActive: boolean;
  /** A PHC string. */
  passwordHash: string;
  createdAt: number;
  updatedAt: number;
}

/** A login and what it has become. */
export interface Session {
  id: string;
  userId: string;
  createdAt: number;
  lastUsedAt: number;
  /** Absolute: rotation does not move it. A whole number of seconds. */
  expiresAt: number;
  ip: string;
  userAgent: string | undefined;
  /** The `jti` of the one refresh token that is good. */
  refreshJti: string;
  /** The `jti` of the token that it replaced. */
  previousJti: string | undefined;
  /** When it replaced it: the `iat` of the good token. */
  rotatedAt: number;
}

export const jobStates = ['queued', 'running', 'done', 'dead'] as const;
export type JobState = (typeof jobStates)[number];

/** All times of a job are ms since 1970 on the clock of the database, the one that all instances share. */
export interface Job {
  id: string;
  kind: string;
  state: JobState;
  /** How often it was begun. */
  attempts: number;
  /** When it may be begun; of a running job: when whoever runs it is taken to have died. */
  runAt: number;
  createdAt: number;
  /** When it was done or given up. */
  finishedAt: number | undefined;
  /** Why the last attempt that failed did so. */
  lastError: string | undefined;
}

/** `failed` when the job was given up. */
export const exportStates = ['queued', 'running', 'done', 'failed'] as const;
export type ExportState = (typeof exportStates)[number];

/** A text that grows by chunks. Its id is that of the job that writes it; times are ms since 1970. */
export interface Export {
  id: string;
  state: ExportState;
  /** How many users there were when it was asked for. */
  rowsTotal: number;
  rowsWritten: number;
  bytesWritten: number;
  chunks: number;
  /** Where to go on; empty at the start. */
  lastUserId: string;
  createdAt: number;
  finishedAt: number | undefined;
  expiresAt: number;
}

/** No id is greater: a listing of the newest first begins there. */
export const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

export const USER_COLUMNS = [
  'id', 'email', 'email_verified_at', 'full_name', 'role', 'is_active', 'password_hash', 'created_at', 'updated_at',
];

export const SESSION_COLUMNS = [
  'id', 'user_id', 'created_at', 'last_used_at', 'expires_at', 'ip', 'user_agent', 'refresh_jti', 'previous_jti',
  'rotated_at',
];

/** `columns` of the table known as `alias`, as a SELECT list. */
export const listed = (columns: readonly string[], alias?: string): string =>
  columns.map((column) => (alias === undefined ? column : `${alias}.${column}`)).join(', ');

/** A row whose columns from `at` on are USER_COLUMNS. */
export const toUser = (row: Row, at = 0): User => ({
  id: row[at] as string,
  email: row[at + 1] as string,
  emailVerifiedAt: (row[at + 2] as number | null) ?? undefined,
  fullName: (row[at + 3] as string | null) ?? undefined,
  role: row[at + 4] as Role,
  isActive: row[at + 5] === 1,
  passwordHash: row[at + 6] as string,
  createdAt: row[at + 7] as number,
  updatedAt: row[at + 8] as number,
});

/** A row whose columns from `at` on are SESSION_COLUMNS. */
export const toSession = (row: Row, at = 0): Session => ({
  id: row[at] as string,
  userId: row[at + 1] as string,
  createdAt: row[at + 2] as number,
  lastUsedAt: row[at + 3] as number,
  expiresAt: row[at + 4] as number,
  ip: row[at + 5] as string,
  userAgent: (row[at + 6] as string | null) ?? undefined,
  refreshJti: row[at + 7] as string,
  previousJti: (row[at + 8] as string | null) ?? undefined,
  rotatedAt: row[at + 9] as number,
});
