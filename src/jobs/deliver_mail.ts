import { emailKey } from '../core/email.ts';
import * as accountTokens from '../db/account_tokens.ts';
import type { Database, Statement } from '../db/database.ts';
import * as users from '../db/users.ts';
import { object, oneOf, string } from '../http/schema.ts';
import { SmtpFailure } from '../wire/smtp_failure.ts';
import { enqueue } from './queue.ts';
import { task } from './task.ts';

const mailKinds = ['password_reset', 'email_verification', 'password_changed'] as const;
type MailKind = (typeof mailKinds)[number];

/** At most one mail of a kind in this time to an address. */
const QUIET_MS = 60_000;

/**
 * Whether anybody is to get the mail is found out here, and not by the request that asked for it: that one does the
 * same for every address.
 *
 * No token is ever in a payload, a log or a table: each attempt makes a new one, keeps its hash and puts it into the
 * mail. Should an attempt have reached the mailbox without our knowing, so that there are two mails, both tokens are
 * good until one of them is used. A mail that was held up for hours carries a fresh token.
 */
export const deliverMail = task({
  kind: 'mail.deliver',
  payload: object({ mail: oneOf(mailKinds), email: string() }),
  maxAttempts: 12,
  // A password that the mail server does not take is ours to put right; the mail waits for that.
  isFinal: (error) => error instanceof SmtpFailure && error.permanent && error.step !== 'auth',
  async handler({ db, mail: transport, now, publicUrl, payload: { mail, email }, jobId, createdAt }) {
    const user = await users.byEmail(db, email);
    if (user === undefined || !user.isActive) return;
    if (mail === 'email_verification' && user.emailVerifiedAt !== undefined) return;
    if (transport === undefined) throw new Error('this server sends no mail: MAIL_URL is unset');
    let token = '';
    if (mail !== 'password_changed') {
      const issued = await accountTokens.issue(db, user.id, mail, now());
      if (issued === undefined) return;
      token = issued;
    }
    const { mails } = await import('./mails.ts');
    const words = mails[mail]({ email: user.email, publicUrl, token });
    await transport.deliver({ to: user.email, ...words, messageId: jobId, date: createdAt });
  },
});

/** Part of the write that is the mail's cause. */
export const queueMail = (db: Database, mail: MailKind, email: string, now: number): Statement =>
  enqueue(db, deliverMail, { mail, email }, now, { once: { key: `${mail} ${emailKey(email)}`, quietMs: QUIET_MS } });
