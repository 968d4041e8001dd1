import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { openConnection } from '../../src/wire/postgres.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { databaseOf } from './backends.ts';
import { eventually } from './mailbox.ts';

export interface JobRow {
  id: string;
  kind: string;
  payload: string;
  state: string;
  attempts: number;
  run_at: number;
  claim: string | null;
  last_error: string | null;
}

/** Asks, or changes, the database file in a server's folder, as another process would. */
export function sql(folder: string, text: string, ...params: (string | number)[]): Record<string, any>[] {
  const db = new DatabaseSync(path.join(folder, 'app.db'), { timeout: 5_000 });
  try {
    return db.prepare(text).all(...params);
  } finally {
    db.close();
  }
}

/** The same in the database of a server's folder, whichever it uses. */
export async function ask(folder: string, text: string): Promise<Record<string, any>[]> {
  const url = await databaseOf(folder);
  if (url === undefined) return sql(folder, text);
  const connection = await openConnection(toPostgresAddress(url), { greeting: '', timeoutMs: 5_000 });
  try {
    const asJson = `SELECT row_to_json(t)::text FROM (${text}) t`;
    const [result] = await connection.run([{ sql: text.startsWith('SELECT') ? asJson : text, params: [] }], 5_000);
    return result!.rows.map(([row]) => JSON.parse(String(row)));
  } finally {
    connection.close();
  }
}

const ALL = 'SELECT * FROM jobs ORDER BY id';

export const jobRows = (folder: string): JobRow[] => sql(folder, ALL) as JobRow[];

/** All jobs, once none waits or runs. */
export const settled = (folder: string): Promise<JobRow[]> =>
  eventually('the end of all jobs', async () => {
    const rows = (await ask(folder, ALL)) as JobRow[];
    return rows.every(({ state }) => state === 'done' || state === 'dead') ? rows : undefined;
  });

/** The minute of quiet after a mail is over for all jobs that ended. */
export const passMinute = (folder: string): Promise<unknown> =>
  ask(folder, 'UPDATE jobs SET finished_at = finished_at - 60000 WHERE finished_at IS NOT NULL');

/** What waits, is due; whoever runs something, is taken to have died. */
export const allDue = (folder: string): Promise<unknown> =>
  ask(folder, 'UPDATE jobs SET run_at = 0 WHERE finished_at IS NULL');
