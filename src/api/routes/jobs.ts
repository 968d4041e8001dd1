import { Readable } from 'node:stream';

import { Failure } from '../../core/errors.ts';
import { then } from '../../core/maybe.ts';
import type { Maybe } from '../../core/maybe.ts';
import { uuidv7 } from '../../core/uuid.ts';
import * as exports from '../../db/exports.ts';
import * as jobs from '../../db/jobs.ts';
import type { Export } from '../../db/models.ts';
import { reply } from '../../http/route.ts';
import type { Route } from '../../http/route.ts';
import { exportUsers } from '../../jobs/export_users.ts';
import { enqueue } from '../../jobs/queue.ts';
import * as schemas from '../../schemas/job.ts';
import { toExportOut, toJobOut } from '../../schemas/job.ts';
import { cursorOf, idOf } from '../cursor.ts';
import { requireAdmin, route } from '../deps.ts';
import type { App } from '../deps.ts';

export const jobRoutes: Route<App>[] = [
  route({
    method: 'GET',
    path: '/api/v1/admin/jobs',
    operationId: 'listJobs',
    tag: 'administration',
    summary: 'The work in the background, newest first',
    guard: requireAdmin,
    limits: ['default'],
    query: schemas.JobListQuery,
    replies: { 200: schemas.JobPage },
    failures: ['invalid_cursor'],
    handler({ app, query: { state, cursor } }) {
      const after = cursor === undefined ? undefined : idOf(cursor);
      return then(jobs.list(app.db, { after, limit: schemas.JOBS_A_PAGE + 1, state }), (found) => {
        const page = found.slice(0, schemas.JOBS_A_PAGE);
        const next = found.length > page.length ? cursorOf(page.at(-1)!.id) : null;
        return reply(200, { items: page.map(toJobOut), next_cursor: next });
      });
    },
  }),

  route({
    method: 'POST',
    path: '/api/v1/admin/jobs/{id}/retry',
    operationId: 'retryJob',
    tag: 'administration',
    summary: 'Retry a job that was given up',
    description: 'Any other job stays as it is.',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 200: schemas.JobOut },
    failures: ['not_found'],
    async handler({ app, caller, params, exchange }) {
      const retried = await jobs.retry(app.db, params.id);
      const job = retried ?? (await jobs.byId(app.db, params.id));
      if (job === undefined) throw new Failure('not_found', 'There is no such job.');
      if (retried !== undefined) {
        app.jobs.wake();
        app.event(exchange, 'admin.job_retried', { user_id: caller.user.id, job_id: job.id, kind: job.kind });
      }
      return reply(200, toJobOut(job));
    },
  }),

  route({
    method: 'POST',
    path: '/api/v1/admin/exports',
    operationId: 'createExport',
    tag: 'administration',
    summary: 'Start an export of all users as a CSV file',
    description: 'Ten are kept, each for a day.',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 202: schemas.ExportOut },
    async handler({ app, caller, exchange, now }) {
      const id = uuidv7(now);
      const created = await exports.create(app.db, id, enqueue(app.db, exportUsers, {}, now, { id }), now);
      app.jobs.wake();
      app.event(exchange, 'admin.export_created', { user_id: caller.user.id, export_id: id });
      return reply(202, toExportOut(created), ['Location', `/api/v1/admin/exports/${id}`]);
    },
  }),

  route({
    method: 'GET',
    path: '/api/v1/admin/exports/{id}',
    operationId: 'getExport',
    tag: 'administration',
    summary: 'How far an export has got',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 200: schemas.ExportOut },
    failures: ['not_found'],
    handler: ({ app, params, now }) =>
      then(existing(app, params.id, now), (found) => reply(200, toExportOut(found))),
  }),

  route({
    method: 'GET',
    path: '/api/v1/admin/exports/{id}/file',
    operationId: 'getExportFile',
    tag: 'administration',
    summary: 'The CSV file of a finished export',
    description: 'RFC 4180 with a header line. What a spreadsheet would calculate has an apostrophe before it.',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 200: { mediaType: 'text/csv; charset=utf-8' } },
    failures: ['not_found', 'export_unfinished'],
    async handler({ app, caller, params, exchange, now }) {
      const found = await existing(app, params.id, now);
      if (found.state !== 'done') throw new Failure('export_unfinished');
      app.event(exchange, 'admin.export_read', { user_id: caller.user.id, export_id: found.id });
      const day = new Date(found.createdAt).toISOString().slice(0, 10);
      const headers = ['Content-Disposition', `attachment; filename="users-${day}.csv"`];
      return reply(200, Readable.from(exports.content(app.db, found)), headers);
    },
  }),
];

const existing = (app: App, id: string, now: number): Maybe<Export> =>
  then(exports.byId(app.db, id, now), (found) => {
    if (found === undefined) throw new Failure('not_found', 'There is no such export.');
    return found;
  });
