import type { Database } from '../db/database.ts';
import type { Schema } from '../http/schema.ts';
import type { Log } from '../telemetry/log.ts';
import type { MailTransport } from '../wire/mail.ts';

/** What a task may reach. */
export interface TaskContext {
  db: Database;
  /** Undefined on a server that sends no mail. */
  mail: MailTransport | undefined;
  log: Log;
  /** Wall time, ms. */
  now(): number;
  /** Where people reach this server, without a slash at the end. */
  publicUrl: string;
  /** Told of every batch that was deleted, for counting. */
  onPurged(what: string, rows: number): void;
}

/** What a handler is called with: the payload has been checked. */
export interface TaskCall<P> extends TaskContext {
  payload: P;
  /** The same for every attempt, as is `createdAt` (ms since 1970). */
  jobId: string;
  createdAt: number;
  /** Aborted when the server stops: what can be continued later throws then. */
  signal: AbortSignal;
}

/**
 * One kind of work. A job is done at least once: after a crash, or a failure, its handler is called again, so that it
 * has to reach the same end when part of its work has been done before.
 */
export interface Task<P> {
  kind: string;
  payload: Schema<P>;
  /** After so many failures the job is given up and kept among the dead. */
  maxAttempts: number;
  /** Milliseconds: enqueued by the workers themselves, once in such a time by all instances together. */
  every?: number;
  /** Whether another attempt would fail the same way. */
  isFinal?(error: unknown): boolean;
  handler(call: TaskCall<P>): Promise<void>;
}

/** A task of any payload, as the worker sees it. */
export interface AnyTask extends Omit<Task<unknown>, 'handler'> {
  handler(call: TaskCall<never>): Promise<void>;
}

/** Checks a literal against its own payload. */
export const task = <P>(literal: Task<P>): Task<P> => literal;
