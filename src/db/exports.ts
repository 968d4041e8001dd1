import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import type { Export, ExportState } from './models.ts';
import type { Database, Row, Statement } from './database.ts';

/** Of more than these the oldest expire. */
const MAX_EXPORTS = 10;
const LIFETIME_MS = 24 * 3_600_000;

const BY_ID = `
  SELECT e.id, CASE
      WHEN e.finished_at IS NOT NULL THEN 'done' WHEN j.state IN ('queued', 'running') THEN j.state ELSE 'failed' END,
    e.rows_total, e.rows_written, e.bytes_written, e.chunks, e.last_user_id, e.created_at, e.finished_at, e.expires_at
  FROM exports e LEFT JOIN jobs j ON j.id = e.id WHERE e.id = $1 AND e.expires_at > $2`;
const INSERT = `
  INSERT INTO exports
    (id, rows_total, rows_written, bytes_written, chunks, last_user_id, created_at, finished_at, expires_at)
  SELECT $1, count(*), 0, 0, 0, '', $2, NULL, $3 FROM users
  RETURNING id, 'queued', rows_total, rows_written, bytes_written, chunks, last_user_id, created_at, finished_at,
    expires_at`;
const EXPIRE_SURPLUS = `
  UPDATE exports SET expires_at = $1 WHERE expires_at > $1 AND id NOT IN (
    SELECT id FROM exports ORDER BY id DESC LIMIT $2)`;
const ADD_CHUNK = 'INSERT INTO export_chunks (export_id, seq, content) VALUES ($1, $2, $3)';
/** Holds only where nobody else has added the same chunk. */
const ADVANCE = `
  UPDATE exports SET chunks = chunks + 1, rows_written = rows_written + $3, bytes_written = bytes_written + $4,
    last_user_id = $5, finished_at = $6 WHERE id = $1 AND chunks = $2`;
const CHUNK = 'SELECT content FROM export_chunks WHERE export_id = $1 AND seq = $2';
const PURGE_CHUNKS = `
  DELETE FROM export_chunks WHERE (export_id, seq) IN (
    SELECT c.export_id, c.seq FROM exports e JOIN export_chunks c ON c.export_id = e.id
    WHERE e.expires_at <= $1 LIMIT $2)`;
const PURGE = `
  DELETE FROM exports WHERE expires_at <= $1 AND NOT EXISTS (SELECT 1 FROM export_chunks WHERE export_id = exports.id)`;

/** Begins an export together with `job`, which has its id. Newer ones may have expired it when it is told of. */
export async function create(db: Database, id: string, job: Statement, now: number): Promise<Export> {
  const done = await db.write([
    { sql: EXPIRE_SURPLUS, params: [now, MAX_EXPORTS - 1] },
    { sql: INSERT, params: [id, now, now + LIFETIME_MS], changes: 1 },
    job,
  ]);
  return toExport(done![1]!.rows[0]!);
}

/** Undefined when there is none, or none any more. */
export const byId = (db: Database, id: string, now: number): Maybe<Export | undefined> =>
  then(db.one(BY_ID, [id, now]), (row) => (row === undefined ? undefined : toExport(row)));

const toExport = (row: Row): Export => ({
  id: row[0] as string,
  state: row[1] as ExportState,
  rowsTotal: row[2] as number,
  rowsWritten: row[3] as number,
  bytesWritten: row[4] as number,
  chunks: row[5] as number,
  lastUserId: row[6] as string,
  createdAt: row[7] as number,
  finishedAt: (row[8] as number | null) ?? undefined,
  expiresAt: row[9] as number,
});

export interface Chunk {
  content: string;
  rows: number;
  lastUserId: string;
  /** Undefined when more is to come. */
  finishedAt: number | undefined;
}

/** Adds the chunk after those that `to` has and says how `to` is now; undefined when another was quicker. */
export async function addChunk(db: Database, to: Export, chunk: Chunk): Promise<Export | undefined> {
  const { content, rows, lastUserId, finishedAt } = chunk;
  const bytes = Buffer.byteLength(content);
  const done = await db.write([
    { sql: ADVANCE, params: [to.id, to.chunks, rows, bytes, lastUserId, finishedAt ?? null], changes: 1 },
    { sql: ADD_CHUNK, params: [to.id, to.chunks, content], changes: 1 },
  ]);
  if (done === undefined) return undefined;
  const [rowsWritten, bytesWritten] = [to.rowsWritten + rows, to.bytesWritten + bytes];
  return { ...to, rowsWritten, bytesWritten, lastUserId, finishedAt, chunks: to.chunks + 1 };
}

/** The content, chunk by chunk; an Error when it is purged meanwhile. */
export async function* content(db: Database, { id, chunks }: Export): AsyncGenerator<string, void, undefined> {
  for (let seq = 0; seq < chunks; seq++) {
    const row = await db.one(CHUNK, [id, seq]);
    if (row === undefined) throw new Error('the export has expired while it was read');
    yield row[0] as string;
  }
}

/** Forgets up to `limit` chunks of what has expired, and the exports that have none left; how many chunks. */
export async function purge(db: Database, now: number, limit: number): Promise<number> {
  const done = await db.write([{ sql: PURGE_CHUNKS, params: [now, limit] }, { sql: PURGE, params: [now] }]);
  return done?.[0]?.changes ?? 0;
}
