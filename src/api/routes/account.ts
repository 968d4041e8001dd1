import type { Config } from '../../core/config.ts';
import { Failure } from '../../core/errors.ts';
import * as accountTokens from '../../db/account_tokens.ts';
import type { Statement } from '../../db/database.ts';
import type { User } from '../../db/models.ts';
import * as users from '../../db/users.ts';
import { reply } from '../../http/route.ts';
import type { Route } from '../../http/route.ts';
import { queueMail } from '../../jobs/deliver_mail.ts';
import * as schemas from '../../schemas/auth.ts';
import { anyone, currentUser, route } from '../deps.ts';
import type { App } from '../deps.ts';
import { guess } from '../limits.ts';

/** The password, changed or forgotten, and whether the address is its owner's: what mail is sent for. */
export function accountRoutes({ passwordMinLength }: Pick<Config, 'passwordMinLength'>): Route<App>[] {
  const NewPassword = schemas.newPassword(passwordMinLength);
  const PasswordChangeIn = schemas.passwordChangeIn(NewPassword);
  const PasswordResetIn = schemas.passwordResetIn(NewPassword);

  return [
    route({
      method: 'POST',
      path: '/api/v1/auth/password',
      operationId: 'changePassword',
      tag: 'auth',
      summary: 'Change the password; the other sessions end',
      description: 'A wrong current password counts as a failed login.',
      guard: currentUser,
      limits: ['default'],
      body: PasswordChangeIn,
      replies: { 204: null },
      failures: ['invalid_credentials', 'overloaded'],
      async handler({ app, caller: { user, session }, body, exchange, now }) {
        await guess(app, exchange, user.email, async () => {
          const { matches } = await app.passwords.verify(body.current_password, user.passwordHash);
          if (matches) return;
          app.event(exchange, 'auth.password_refused', { user_id: user.id }, 'warn');
          throw new Failure('invalid_credentials', 'The current password is wrong.');
        });
        const after = await app.passwords.hash(body.new_password);
        const change = { id: user.id, before: user.passwordHash, after, keep: session.id };
        const along = noticeOfChange(app, user, now);
        if (!(await users.changePassword(app.db, change, now, along))) throw new Failure('invalid_credentials');
        app.jobs.wake();
        app.event(exchange, 'auth.password_changed', { user_id: user.id });
        return reply(204);
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/password/forgot',
      operationId: 'forgotPassword',
      tag: 'auth',
      summary: 'Ask for a mail with a token that sets a new password',
      description:
        'The answer and the work before it are the same for every address. At most one mail a minute and address.',
      guard: anyone,
      limits: ['default'],
      body: schemas.PasswordForgotIn,
      replies: { 202: null },
      failures: ['mail_unavailable'],
      async handler({ app, body, exchange, now }) {
        assertSendsMail(app);
        await app.db.write([queueMail(app.db, 'password_reset', body.email, now)]);
        app.jobs.wake();
        app.event(exchange, 'auth.password_forgotten', { email: body.email });
        return reply(202);
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/password/reset',
      operationId: 'resetPassword',
      tag: 'auth',
      summary: 'Set a new password with a token from a mail; every session ends',
      description: 'A token works once, within 30 minutes.',
      guard: anyone,
      limits: ['default'],
      body: PasswordResetIn,
      replies: { 204: null },
      failures: ['invalid_token', 'overloaded'],
      async handler({ app, body: { token, new_password: password }, exchange, now }) {
        const userId = await accountTokens.ownerOf(app.db, token, 'password_reset', now);
        const user = userId === undefined ? undefined : await users.byId(app.db, userId);
        if (user === undefined) throw new Failure('invalid_token');
        const hash = await app.passwords.hash(password);
        const done = await users.resetPassword(app.db, user.id, hash, now, [
          accountTokens.use(token, user.id, now),
          ...noticeOfChange(app, user, now),
        ]);
        if (!done) throw new Failure('invalid_token');
        app.jobs.wake();
        app.event(exchange, 'auth.password_reset', { user_id: user.id });
        return reply(204);
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/email/verification',
      operationId: 'requestEmailVerification',
      tag: 'auth',
      summary: 'Ask for a mail with a token that proves the address is yours',
      description: 'Nothing is sent when it is known to be. At most one mail a minute.',
      guard: currentUser,
      limits: ['default'],
      replies: { 202: null },
      failures: ['mail_unavailable'],
      async handler({ app, caller: { user }, exchange, now }) {
        assertSendsMail(app);
        await app.db.write([queueMail(app.db, 'email_verification', user.email, now)]);
        app.jobs.wake();
        app.event(exchange, 'auth.email_verification_requested', { user_id: user.id });
        return reply(202);
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/email/verify',
      operationId: 'verifyEmail',
      tag: 'auth',
      summary: 'Prove with a token from a mail that the address is yours',
      description: 'A token works once, within 24 hours.',
      guard: anyone,
      limits: ['default'],
      body: schemas.EmailVerifyIn,
      replies: { 204: null },
      failures: ['invalid_token'],
      async handler({ app, body: { token }, exchange, now }) {
        const userId = await accountTokens.ownerOf(app.db, token, 'email_verification', now);
        if (userId === undefined) throw new Failure('invalid_token');
        const along = [accountTokens.use(token, userId, now), accountTokens.drop(userId, 'email_verification')];
        if (!(await users.verifyEmail(app.db, userId, now, along))) throw new Failure('invalid_token');
        app.event(exchange, 'auth.email_verified', { user_id: userId });
        return reply(204);
      },
    }),
  ];
}

/** Refuses where no mail can go out. It does not pass by itself (MAIL_URL has to be set), hence the long wait. */
function assertSendsMail({ sendsMail }: App): void {
  if (!sendsMail) throw new Failure('mail_unavailable', undefined, { retryAfter: 3600 });
}

/** Parts of the write that changes a password: its owner is told, and what could have reset it no longer does. */
const noticeOfChange = (app: App, { id, email }: User, now: number): Statement[] => [
  accountTokens.drop(id, 'password_reset'),
  ...(app.sendsMail ? [queueMail(app.db, 'password_changed', email, now)] : []),
];
