import { Failure } from '../../core/errors.ts';
import { then } from '../../core/maybe.ts';
import type { User } from '../../db/models.ts';
import * as sessions from '../../db/sessions.ts';
import * as users from '../../db/users.ts';
import { reply } from '../../http/route.ts';
import type { Route } from '../../http/route.ts';
import { SessionList, toSessionOut } from '../../schemas/auth.ts';
import * as schemas from '../../schemas/user.ts';
import { toUserOut, toUserProjection, UserOut, UserPage } from '../../schemas/user.ts';
import { cursorOf, idOf } from '../cursor.ts';
import { currentUser, requireAdmin, route } from '../deps.ts';
import type { App } from '../deps.ts';

export const userRoutes: Route<App>[] = [
  route({
    method: 'GET',
    path: '/api/v1/users/me',
    operationId: 'getMe',
    tag: 'users',
    summary: 'Your own account',
    guard: currentUser,
    limits: ['default'],
    replies: { 200: UserOut },
    handler: ({ caller: { user } }) => reply(200, toUserOut(user)),
  }),

  route({
    method: 'PATCH',
    path: '/api/v1/users/me',
    operationId: 'updateMe',
    tag: 'users',
    summary: 'Change your own account',
    guard: currentUser,
    limits: ['default'],
    body: schemas.UserPatch,
    replies: { 200: UserOut },
    async handler({ app, caller: { user }, body, now }) {
      if (body.full_name === undefined) return reply(200, toUserOut(user));
      const changed = await users.setFullName(app.db, user.id, body.full_name ?? undefined, now);
      if (changed === undefined) throw new Failure('invalid_token');
      return reply(200, toUserOut(changed));
    },
  }),

  route({
    method: 'GET',
    path: '/api/v1/users/me/sessions',
    operationId: 'listSessions',
    tag: 'users',
    summary: 'Your live sessions, newest first',
    guard: currentUser,
    limits: ['default'],
    replies: { 200: SessionList },
    handler: ({ app, caller: { user, session }, now }) =>
      then(sessions.live(app.db, user.id, now), (live) =>
        reply(200, { items: live.map((each) => toSessionOut(each, session.id)) }),
      ),
  }),

  route({
    method: 'DELETE',
    path: '/api/v1/users/me/sessions/{id}',
    operationId: 'endSession',
    tag: 'users',
    summary: 'End one of your sessions',
    guard: currentUser,
    limits: ['default'],
    replies: { 204: null },
    failures: ['not_found'],
    async handler({ app, caller: { user }, params, exchange, now }) {
      if (!(await sessions.endOwn(app.db, params.id, user.id, now))) throw noSession();
      app.event(exchange, 'auth.session_ended', { user_id: user.id, session_id: params.id });
      return reply(204);
    },
  }),

  route({
    method: 'GET',
    path: '/api/v1/users',
    operationId: 'listUsers',
    tag: 'administration',
    summary: 'The accounts, newest first',
    guard: requireAdmin,
    limits: ['default'],
    query: schemas.UserListQuery,
    replies: { 200: UserPage },
    failures: ['invalid_cursor'],
    handler({ app, query }) {
      const { limit = 20, cursor, fields, role, q } = query;
      const after = cursor === undefined ? undefined : idOf(cursor);
      return then(users.list(app.db, { after, limit: limit + 1, role, prefix: q }), (found) => {
        const page = found.slice(0, limit);
        const next = found.length > limit ? cursorOf(page.at(-1)!.id) : null;
        return reply(200, { items: page.map((user) => toUserProjection(user, fields)), next_cursor: next });
      });
    },
  }),

  route({
    method: 'GET',
    path: '/api/v1/users/{id}',
    operationId: 'getUser',
    tag: 'administration',
    summary: 'An account',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 200: UserOut },
    failures: ['not_found'],
    handler: ({ app, params }) =>
      then(users.byId(app.db, params.id), (user) => {
        if (user === undefined) throw noUser();
        return reply(200, toUserOut(user));
      }),
  }),

  route({
    method: 'PATCH',
    path: '/api/v1/users/{id}',
    operationId: 'updateUser',
    tag: 'administration',
    summary: 'Change an account; disabling it ends its sessions',
    guard: requireAdmin,
    limits: ['default'],
    body: schemas.ManagedUserPatch,
    replies: { 200: UserOut },
    failures: ['not_found', 'last_admin'],
    async handler({ app, caller, params, body, exchange, now }) {
      const { role, is_active: isActive, full_name: fullName } = body;
      const before = await users.byId(app.db, params.id);
      if (before === undefined) throw noUser();
      if (Object.keys(body).length === 0) return reply(200, toUserOut(before));
      const user = await users.manage(app.db, params.id, { role, isActive, fullName }, now);
      if (user === undefined) throw await missingOrLastAdmin(app, params.id);
      const change = { subject: user.id, ...changes(before, user) };
      app.event(exchange, 'admin.user_changed', { user_id: caller.user.id, ...change });
      return reply(200, toUserOut(user));
    },
  }),

  route({
    method: 'DELETE',
    path: '/api/v1/users/{id}',
    operationId: 'deleteUser',
    tag: 'administration',
    summary: 'Delete an account and all that belongs to it',
    guard: requireAdmin,
    limits: ['default'],
    replies: { 204: null },
    failures: ['not_found', 'last_admin'],
    async handler({ app, caller, params, exchange }) {
      if (!(await users.remove(app.db, params.id))) throw await missingOrLastAdmin(app, params.id);
      app.event(exchange, 'admin.user_deleted', { user_id: caller.user.id, subject: params.id });
      return reply(204);
    },
  }),
];

/** What of an account's rights is not as it was: `role: 'user → admin'`. */
const changes = (before: User, after: User) => ({
  role: before.role === after.role ? undefined : `${before.role} → ${after.role}`,
  is_active: before.isActive === after.isActive ? undefined : `${before.isActive} → ${after.isActive}`,
});

const noUser = (): Failure => new Failure('not_found', 'There is no such user.');
const noSession = (): Failure => new Failure('not_found', 'There is no such session.');

const missingOrLastAdmin = async (app: App, id: string): Promise<Failure> =>
  (await users.byId(app.db, id)) === undefined ? noUser() : new Failure('last_admin');
