import type { Reply } from './smtp_reply.ts';

/** Where a delivery can fail, in the order in which it is tried. */
export type Step =
  | 'mail'
  | 'connect'
  | 'tls'
  | 'greeting'
  | 'hello'
  | 'starttls'
  | 'auth'
  | 'sender'
  | 'recipient'
  | 'data'
  | 'content'
  | 'quit';

/**
 * Why a mail was not handed over. `permanent` when the server answered 5xx or the mail itself cannot be sent: the
 * same attempt would fail the same way. Everything else (4xx, silence, a lost connection, a server that breaks the
 * protocol, a missing STARTTLS or a certificate that does not verify) may be tried again later.
 *
 * The server's own words never get in here, for they may repeat the password or the mail: only its codes do.
 */
export class SmtpFailure extends Error {
  readonly step: Step;
  readonly permanent: boolean;
  readonly replyCode: number | undefined;

  constructor(
    step: Step,
    reason: string,
    details: { permanent?: boolean; replyCode?: number; cause?: unknown } = {},
  ) {
    super(`SMTP ${step}: ${reason}`, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SmtpFailure';
    this.step = step;
    this.permanent = details.permanent ?? false;
    this.replyCode = details.replyCode;
  }
}

/** A reply that is not the one awaited, with its enhanced status code (RFC 3463) when it has one. */
export function toFailure(step: Step, reply: Reply): SmtpFailure {
  const status = /^[245]\.\d{1,3}\.\d{1,3}(?= |$)/.exec(reply.lines[0] ?? '');
  const code = status === null ? `${reply.code}` : `${reply.code} ${status[0]}`;
  return new SmtpFailure(step, `the server answered ${code}`, {
    permanent: reply.code >= 500,
    replyCode: reply.code,
  });
}
