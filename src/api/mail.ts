import * as accountTokens from '../db/account_tokens.ts';
import type { Statement } from '../db/database.ts';
import type { User } from '../db/models.ts';
import { queueMail } from '../jobs/deliver_mail.ts';
import type { App } from './deps.ts';

/** Parts of the write that changes a password: its owner is told, and what could have reset it no longer does. */
export const noticeOfChange = (app: App, user: Pick<User, 'id' | 'email'>, now: number): Statement[] => [
  accountTokens.drop(user.id, 'password_reset'),
  ...(app.sendsMail ? [queueMail(app.db, 'password_changed', user.email, now)] : []),
];

/** Part of a write where only those may log in whose address is known to be theirs: the mail that lets them show it. */
export const verificationMail = (app: App, email: string, now: number): Statement[] =>
  app.config.requireVerifiedEmail ? [queueMail(app.db, 'email_verification', email, now)] : [];
