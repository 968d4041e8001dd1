import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

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

export const jobRows = (folder: string): JobRow[] => sql(folder, 'SELECT * FROM jobs ORDER BY id') as JobRow[];

/** All jobs, once none waits or runs. */
export const settled = (folder: string): Promise<JobRow[]> =>
  eventually('the end of all jobs', () => {
    const rows = jobRows(folder);
    return rows.every(({ state }) => state === 'done' || state === 'dead') ? rows : undefined;
  });

/** The minute of quiet after a mail is over for all jobs that ended. */
export const passMinute = (folder: string): void =>
  void sql(folder, 'UPDATE jobs SET finished_at = finished_at - 60000 WHERE finished_at IS NOT NULL');

/** What waits, is due; whoever runs something, is taken to have died. */
export const allDue = (folder: string): void => void sql(folder, 'UPDATE jobs SET run_at = 0 WHERE finished_at IS NULL');
