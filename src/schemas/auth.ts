import type { Session } from '../db/models.ts';
import { array, boolean, integer, nullable, object, oneOf, optional, string } from '../http/schema.ts';
import type { Infer, Schema } from '../http/schema.ts';
import { Email, FullName, Time, toTime, Uuid } from './user.ts';

const PASSWORD_MAX_BYTES = 1024;

/** A password as somebody knows it: its rules were checked when it was set. */
const Password = string({ format: 'password', examples: ['correct horse battery staple'] });

/** A password that is to be set. */
export const newPassword = (minLength: number): Schema<string> =>
  string({
    minLength,
    'x-maxBytes': PASSWORD_MAX_BYTES,
    format: 'password',
    description: `At least ${minLength} characters, at most ${PASSWORD_MAX_BYTES} bytes; taken as it is.`,
    examples: ['correct horse battery staple'],
  });

export const registerIn = (password: Schema<string>) =>
  object({ email: Email, password, full_name: optional(FullName) }, { title: 'Registration' });

/** The address has no form here: a malformed one is simply unknown. */
export const LoginIn = object(
  { email: string({ examples: ['ada@example.com'] }), password: Password },
  { title: 'Login' },
);
export type LoginIn = Infer<typeof LoginIn>;

export const RefreshIn = object(
  { refresh_token: string({ description: 'Of a login or refresh.' }) },
  { title: 'RefreshToken' },
);

export const passwordChangeIn = (password: Schema<string>) =>
  object({ current_password: Password, new_password: password }, { title: 'PasswordChange' });

/** A token as it stands in a mail. */
const MailedToken = string({ maxLength: 100, description: 'From the mail.' });

export const PasswordForgotIn = object({ email: Email }, { title: 'PasswordForgotten' });

export const passwordResetIn = (password: Schema<string>) =>
  object({ token: MailedToken, new_password: password }, { title: 'PasswordReset' });

export const EmailVerifyIn = object({ token: MailedToken }, { title: 'EmailVerification' });

export const TokenPair = object(
  {
    access_token: string({ description: 'For `Authorization: Bearer`.' }),
    refresh_token: string({ description: 'Replaces the one before, when rotation is on.' }),
    token_type: oneOf(['bearer']),
    expires_in: integer({ description: 'Seconds that the access token is good for.', examples: [900] }),
  },
  { title: 'TokenPair' },
);
export type TokenPair = Infer<typeof TokenPair>;

const SessionOut = object(
  {
    id: Uuid,
    created_at: Time,
    last_used_at: Time,
    expires_at: Time,
    ip: string({ examples: ['192.0.2.1'] }),
    user_agent: nullable(string({ examples: ['curl/8.5.0'] })),
    current: boolean({ description: 'Whether it is the session that asks.' }),
  },
  { title: 'Session' },
);
export const SessionList = object({ items: array(SessionOut, { maxItems: 100 }) }, { title: 'SessionList' });

export const toSessionOut = (session: Session, currentId: string): Infer<typeof SessionOut> => ({
  id: session.id,
  created_at: toTime(session.createdAt),
  last_used_at: toTime(session.lastUsedAt),
  expires_at: toTime(session.expiresAt),
  ip: session.ip,
  user_agent: session.userAgent ?? null,
  current: session.id === currentId,
});
