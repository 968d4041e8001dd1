import { reply } from '../../http/route.ts';
import type { Route } from '../../http/route.ts';
import { object, oneOf } from '../../http/schema.ts';
import { anyone, route } from '../deps.ts';
import type { App } from '../deps.ts';

export const publicRoutes: Route<App>[] = [
  route({
    method: 'GET',
    path: '/api/v1/public/ping',
    operationId: 'ping',
    tag: 'public',
    summary: 'Say hello',
    guard: anyone,
    limits: ['default'],
    replies: { 200: object({ status: oneOf(['ok']) }, { title: 'Pong' }) },
    handler: () => reply(200, { status: 'ok' as const }),
  }),
];
