import { exportStates, jobStates } from '../db/models.ts';
import type { Export, Job } from '../db/models.ts';
import { array, integer, nullable, object, oneOf, optional, string } from '../http/schema.ts';
import type { Infer } from '../http/schema.ts';
import { Time, toTime, Uuid } from './user.ts';

const State = oneOf(jobStates, { description: '`dead`: given up after too many failures, kept for 30 days.' });

/** Payloads stay inside: they are about people. */
export const JobOut = object(
  {
    id: Uuid,
    kind: string({ examples: ['mail.deliver'] }),
    state: State,
    attempts: integer({ description: 'How often it was begun.' }),
    run_at: Time,
    created_at: Time,
    finished_at: nullable(Time),
    last_error: nullable(string({ description: 'Why the last attempt that failed did so.' })),
  },
  { title: 'Job', description: 'A piece of work in the background.' },
);

export const toJobOut = (job: Job): Infer<typeof JobOut> => ({
  id: job.id,
  kind: job.kind,
  state: job.state,
  attempts: job.attempts,
  run_at: toTime(job.runAt),
  created_at: toTime(job.createdAt),
  finished_at: toTimeOrNull(job.finishedAt),
  last_error: job.lastError ?? null,
});

export const JobListQuery = object({
  state: optional(State),
  cursor: optional(string({ description: '`next_cursor` of the page before.' })),
});

export const JOBS_A_PAGE = 50;

export const JobPage = object(
  {
    items: array(JobOut, { maxItems: JOBS_A_PAGE }),
    next_cursor: nullable(string({ description: 'Null on the last page.' })),
  },
  { title: 'JobPage' },
);

export const ExportOut = object(
  {
    id: Uuid,
    state: oneOf(exportStates, { description: '`failed`: its job is among the dead, and goes on when retried.' }),
    rows_total: integer({ description: 'Users there were when it was asked for.' }),
    rows_written: integer(),
    bytes: integer({ description: 'Of the file so far.' }),
    created_at: Time,
    finished_at: nullable(Time),
    expires_at: Time,
  },
  { title: 'Export' },
);

export const toExportOut = (found: Export): Infer<typeof ExportOut> => ({
  id: found.id,
  state: found.state,
  rows_total: found.rowsTotal,
  rows_written: found.rowsWritten,
  bytes: found.bytesWritten,
  created_at: toTime(found.createdAt),
  finished_at: toTimeOrNull(found.finishedAt),
  expires_at: toTime(found.expiresAt),
});

const toTimeOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : toTime(ms));
