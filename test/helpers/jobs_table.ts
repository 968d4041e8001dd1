import { eventually } from './mailbox.ts';
import { sql } from './sql.ts';

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

const ALL = 'SELECT * FROM jobs ORDER BY id';

export const jobRows = async (folder: string): Promise<JobRow[]> => (await sql(folder, ALL)) as JobRow[];

/** All jobs, once none waits or runs. */
export const settled = (folder: string): Promise<JobRow[]> =>
  eventually('the end of all jobs', async () => {
    const rows = await jobRows(folder);
    return rows.every(({ state }) => state === 'done' || state === 'dead') ? rows : undefined;
  });

/** The minute of quiet after a mail is over for all jobs that ended. */
export const passMinute = (folder: string): Promise<unknown> =>
  sql(folder, 'UPDATE jobs SET finished_at = finished_at - 60000 WHERE finished_at IS NOT NULL');

/** What waits, is due; whoever runs something, is taken to have died. */
export const allDue = (folder: string): Promise<unknown> =>
  sql(folder, 'UPDATE jobs SET run_at = 0 WHERE finished_at IS NULL');
