import { uuidv7 } from '../core/uuid.ts';
import type { Database, Statement } from '../db/database.ts';
import * as jobs from '../db/jobs.ts';
import type { NewJob } from '../db/jobs.ts';
import type { Task } from './task.ts';

export interface EnqueueOptions extends Pick<NewJob, 'once'> {
  /** A UUIDv7 of one's own. */
  id?: string;
}

/**
 * A job, as part of the write that is its cause: both are remembered or neither. Wake the worker once it is written,
 * else the job waits for the next look.
 */
export function enqueue<P>(
  { kind: engine }: Pick<Database, 'kind'>,
  { kind }: Pick<Task<P>, 'kind' | 'payload'>,
  payload: P,
  now: number,
  { id = uuidv7(now), ...options }: EnqueueOptions = {},
): Statement {
  return jobs.enqueue(engine, { id, kind, payload: JSON.stringify(payload), ...options });
}
