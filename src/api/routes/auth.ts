import { randomUUID } from 'node:crypto';

import type { Config } from '../../core/config.ts';
import { isEmail } from '../../core/email.ts';
import { Failure } from '../../core/errors.ts';
import { uuidv7 } from '../../core/uuid.ts';
import type { Statement } from '../../db/database.ts';
import type { Session, User } from '../../db/models.ts';
import * as sessions from '../../db/sessions.ts';
import * as users from '../../db/users.ts';
import type { Exchange } from '../../http/exchange.ts';
import { reply } from '../../http/route.ts';
import type { Route } from '../../http/route.ts';
import { queueMail } from '../../jobs/deliver_mail.ts';
import * as schemas from '../../schemas/auth.ts';
import type { LoginIn, TokenPair } from '../../schemas/auth.ts';
import { toUserOut, UserOut } from '../../schemas/user.ts';
import { anyone, assertLive, currentUser, route } from '../deps.ts';
import type { App } from '../deps.ts';
import { guess } from '../limits.ts';

const NO_STORE = ['Cache-Control', 'no-store'];

export function authRoutes({ passwordMinLength }: Pick<Config, 'passwordMinLength'>): Route<App>[] {
  const NewPassword = schemas.newPassword(passwordMinLength);
  const RegisterIn = schemas.registerIn(NewPassword);

  return [
    route({
      method: 'POST',
      path: '/api/v1/auth/register',
      operationId: 'register',
      tag: 'auth',
      summary: 'Open an account',
      guard: anyone,
      limits: ['default'],
      body: RegisterIn,
      replies: { 201: UserOut },
      failures: ['email_taken', 'overloaded'],
      async handler({ app, body, exchange, now }) {
        const { email, password, full_name: fullName } = body;
        if ((await users.byEmail(app.db, email)) !== undefined) throw new Failure('email_taken');
        const passwordHash = await app.passwords.hash(password);
        const id = uuidv7(now);
        const account = { id, email, fullName: fullName ?? undefined, role: 'user' as const, passwordHash };
        const user = await users.insert(app.db, account, now, verificationMail(app, email, now));
        if (user === undefined) throw new Failure('email_taken');
        app.jobs.wake();
        app.event(exchange, 'auth.register', { user_id: user.id });
        return reply(201, toUserOut(user));
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/login',
      operationId: 'login',
      tag: 'auth',
      summary: 'Log in: start a session',
      description: 'An unknown address and a wrong password get the same answer after the same work.',
      guard: anyone,
      limits: ['default', 'login'],
      body: schemas.LoginIn,
      replies: { 200: schemas.TokenPair },
      failures: ['invalid_credentials', 'account_disabled', 'email_unverified', 'overloaded'],
      async handler({ app, body, exchange, now }) {
        const pair = await guess(app, exchange, body.email, async () => {
          // A login at the same moment may have stored the password under a new cost: then its hash is looked at again.
          const found = (await logIn(app, exchange, body, now)) ?? (await logIn(app, exchange, body, now));
          if (found === undefined) throw new Failure('invalid_credentials');
          return found;
        });
        return reply(200, pair, NO_STORE);
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/refresh',
      operationId: 'refresh',
      tag: 'auth',
      summary: 'Exchange a refresh token for a new pair',
      description:
        'With rotation the token is replaced; presented again within the reuse interval it names the same successor, ' +
        'later it is taken for stolen and the session ends.',
      guard: anyone,
      limits: ['default'],
      body: schemas.RefreshIn,
      replies: { 200: schemas.TokenPair },
      failures: ['invalid_token', 'token_reused'],
      handler: ({ app, body, exchange, now }) => refresh(app, exchange, body.refresh_token, now),
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/logout',
      operationId: 'logout',
      tag: 'auth',
      summary: 'End the session of a refresh token',
      description: 'Any refresh token of the session will do, also a replaced or expired one.',
      guard: anyone,
      limits: ['default'],
      body: schemas.RefreshIn,
      replies: { 204: null },
      failures: ['invalid_token'],
      async handler({ app, body, exchange, now }) {
        const claims = app.tokens.verify(body.refresh_token, 'refresh', now, { evenExpired: true });
        if (claims === undefined) throw new Failure('invalid_token');
        await sessions.end(app.db, claims.sid);
        app.event(exchange, 'auth.logout', { user_id: claims.sub, session_id: claims.sid });
        return reply(204);
      },
    }),

    route({
      method: 'POST',
      path: '/api/v1/auth/logout-all',
      operationId: 'logoutAll',
      tag: 'auth',
      summary: 'End every session of the account',
      guard: currentUser,
      limits: ['default'],
      replies: { 204: null },
      async handler({ app, caller: { user }, exchange }) {
        await sessions.endAll(app.db, user.id);
        app.event(exchange, 'auth.logout_all', { user_id: user.id });
        return reply(204);
      },
    }),
  ];
}

/** Part of a write: where only a verified address may log in (REQUIRE_VERIFIED_EMAIL), the mail that verifies it. */
const verificationMail = (app: App, email: string, now: number): Statement[] =>
  app.config.requireVerifiedEmail ? [queueMail(app.db, 'email_verification', email, now)] : [];

/** The tokens of a new session, or undefined when the account changed between the check and the start. */
async function logIn(app: App, exchange: Exchange, { email, password }: LoginIn, now: number) {
  const user = await users.byEmail(app.db, email);
  const { matches, outdated } = await app.passwords.verify(password, user?.passwordHash);
  const failed = (reason: string): void => {
    // What is no address may be a password, typed into the wrong field.
    const who = { email: isEmail(email) ? email : undefined, user_id: user?.id };
    app.event(exchange, 'auth.login_failed', { ...who, reason }, 'warn');
  };
  if (user === undefined || !matches) {
    failed('credentials');
    throw new Failure('invalid_credentials');
  }
  exchange.userId = user.id;
  if (!user.isActive) {
    failed('disabled');
    throw new Failure('account_disabled');
  }
  if (app.config.requireVerifiedEmail && user.emailVerifiedAt === undefined) {
    failed('unverified');
    await app.db.write(verificationMail(app, user.email, now));
    app.jobs.wake();
    throw new Failure('email_unverified');
  }
  const rehash = outdated ? users.rehash(user.id, user.passwordHash, await app.passwords.hash(password)) : undefined;
  const session = newSession(app.config, user, exchange, now);
  if (!(await sessions.start(app.db, session, user.passwordHash, rehash))) return undefined;
  app.event(exchange, 'auth.login', { user_id: user.id, session_id: session.id });
  return tokenPair(app, user, session, now);
}

function newSession({ refreshTokenTtl }: Config, user: User, { ip, userAgent }: Exchange, now: number): Session {
  return {
    id: uuidv7(now),
    userId: user.id,
    createdAt: now,
    lastUsedAt: now,
    expiresAt: (toSeconds(now) + Math.ceil(refreshTokenTtl / 1000)) * 1000,
    ip,
    userAgent: userAgent?.slice(0, 256),
    refreshJti: randomUUID(),
    previousJti: undefined,
    rotatedAt: now,
  };
}

const toSeconds = (ms: number): number => Math.floor(ms / 1000);

/**
 * The pair that belongs to a session now. The refresh token is made from what the database keeps of it, so that the
 * same one can be named again without ever having been stored.
 */
function tokenPair({ tokens, config }: App, user: User, session: Session, now: number): TokenPair {
  const who = { sub: user.id, role: user.role, sid: session.id };
  const iat = toSeconds(now);
  const sessionEnd = session.expiresAt / 1000;
  const exp = Math.min(iat + Math.ceil(config.accessTokenTtl / 1000), sessionEnd);
  const issued = toSeconds(session.rotatedAt);
  return {
    access_token: tokens.sign({ ...who, jti: randomUUID(), iat, exp, typ: 'access' }),
    refresh_token: tokens.sign({ ...who, jti: session.refreshJti, iat: issued, exp: sessionEnd, typ: 'refresh' }),
    token_type: 'bearer',
    expires_in: exp - iat,
  };
}

/**
 * Refresh token rotation with reuse detection (RFC 9700 §4.14.2). A session knows its good token and the one before
 * it; any other that we signed for it is older still.
 */
async function refresh(app: App, exchange: Exchange, token: string, now: number) {
  const claims = app.tokens.verify(token, 'refresh', now);
  if (claims === undefined) throw new Failure('invalid_token');
  const { sid, jti } = claims;
  const answer = (user: User, session: Session) => reply(200, tokenPair(app, user, session, now), NO_STORE);

  let login = await sessions.bySid(app.db, sid);
  assertLive(login, claims, now);
  exchange.userId = login.user.id;
  if (jti === login.session.refreshJti) {
    const { user, session } = login;
    if (!app.config.refreshTokenRotation) {
      if (!(await sessions.touch(app.db, sid, now))) throw new Failure('invalid_token');
      // Not one made anew, which would differ once the role or the key has changed.
      return reply(200, { ...tokenPair(app, user, session, now), refresh_token: token }, NO_STORE);
    }
    const next: Session = { ...session, refreshJti: randomUUID(), previousJti: jti, rotatedAt: now };
    if (await sessions.rotate(app.db, sid, jti, next.refreshJti, now)) return answer(user, next);
    // Another request with the same token was quicker: look at what it left.
    login = await sessions.bySid(app.db, sid);
    assertLive(login, claims, now);
  }
  const { user, session } = login;
  const retiredMs = now - session.rotatedAt;
  if (jti === session.previousJti && retiredMs < app.config.refreshTokenReuseInterval) return answer(user, session);
  await sessions.end(app.db, sid);
  app.event(exchange, 'auth.refresh_reused', { user_id: user.id, session_id: sid }, 'warn');
  throw new Failure('token_reused');
}
