import { reply } from '../../http/route.ts';
import type { Route } from '../../http/route.ts';
import { object, string } from '../../http/schema.ts';
import { requireAdmin, route } from '../deps.ts';
import type { App } from '../deps.ts';

export const adminRoutes: Route<App>[] = [
  route({
    method: 'GET',
    path: '/api/v1/admin/secret',
    operationId: 'getSecret',
    tag: 'administration',
    summary: 'Something only administrators see',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 200: object({ secret: string() }, { title: 'Secret' }) },
    handler: () => reply(200, { secret: 'Only administrators can read this.' }),
  }),
];
