import { randomUUID } from 'node:crypto';
import { constants, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { toMailbox } from './mail_address.ts';
import type { Mailbox } from './mail_address.ts';
import { toMessage } from './mail_message.ts';
import { toMailTarget } from './mail_url.ts';
import type { SmtpTarget } from './smtp_target.ts';

export interface Mail {
  /** An ASCII address. */
  to: string;
  subject: string;
  text: string;
  /** `[A-Za-z0-9_-]`, at most 64 characters; the same for every attempt at the same mail. */
  messageId: string;
  /** Milliseconds since 1970; likewise the same for every attempt. */
  date: number;
}

/** The way out for mail: one verb. */
export interface MailTransport {
  readonly kind: 'smtp' | 'file' | 'log';
  /**
   * Kept: the mail is out of our hands. Rejects with an SmtpFailure (whose `permanent` says whether to try again), or
   * with the Error of the file system. Each delivery is on its own; the caller bounds how many there are at once.
   */
  deliver(mail: Mail): Promise<void>;
  /** Breaks off what is under way. */
  close(): Promise<void>;
}

export interface MailOptions {
  /** `log:`, `file:./folder`, `smtp://…` or `smtps://…`. */
  url: string;
  /** `Name <name@example.org>` or the address alone. */
  from: string;
  /** See `toPublicHost`. */
  publicHost: string;
  /** Takes the mails of `log:`, for people to read. */
  log: (text: string) => void;
  /** As in ChannelOptions; 30 s, 2 min and Node's authorities unless told otherwise. */
  stepMs?: number;
  totalMs?: number;
  ca?: string;
}

const MAX_MESSAGE_BYTES = 1_048_576;

/** Opens nothing yet: a connection (one for each delivery) and the folder are made when there is a mail. */
export function openMail(options: MailOptions): MailTransport {
  const from = toMailbox(options.from);
  const target = toMailTarget(options.url);
  if (target.kind === 'log') return openLog(from, options);
  if (target.kind === 'file') return openFolder(from, target.folder, options);
  return openSmtp(from, target.server, options);
}

/** Plain text, not the message, for its encoding is nothing to read; what could not go out by mail is refused too. */
function openLog(from: Mailbox, { publicHost, log }: MailOptions): MailTransport {
  return {
    kind: 'log',
    async deliver(mail) {
      written(from, publicHost, mail);
      const { to, subject, text } = mail;
      log(`From: ${from.address}\nTo: ${to}\nSubject: ${subject}\n\n${text}`);
    },
    async close() {},
  };
}

/** `<time>-<messageId>.eml`, in the order of their dates; a second attempt replaces the first. */
function openFolder(from: Mailbox, folder: string, { publicHost }: MailOptions): MailTransport {
  return {
    kind: 'file',
    async deliver(mail) {
      const message = written(from, publicHost, mail);
      const time = new Date(mail.date).toISOString().replace(/[-:]/g, '');
      await writeWhole(folder, `${time}-${mail.messageId}.eml`, message);
    },
    async close() {},
  };
}

function openSmtp(from: Mailbox, target: SmtpTarget, options: MailOptions): MailTransport {
  const stop = new AbortController();
  const smtpOptions = {
    clientName: toClientName(options.publicHost),
    maxBytes: MAX_MESSAGE_BYTES,
    stepMs: options.stepMs ?? 30_000,
    totalMs: options.totalMs ?? 120_000,
    signal: stop.signal,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  };
  return {
    kind: 'smtp',
    async deliver(mail) {
      const message = written(from, options.publicHost, mail);
      const { sendMail } = await import('./smtp.ts');
      await sendMail(target, { from: from.address, to: mail.to }, message, smtpOptions);
    },
    async close() {
      stop.abort();
    },
  };
}

function written(from: Mailbox, publicHost: string, mail: Mail): string {
  if (!/^[\w-]{1,64}$/.test(mail.messageId)) throw new Error('the id of a mail is malformed');
  return toMessage({ ...mail, from, messageId: `${mail.messageId}@${publicHost}` });
}

/** RFC 5321 §4.1.3: an address goes into brackets. */
function toClientName(publicHost: string): string {
  if (isIPv4(publicHost)) return `[${publicHost}]`;
  return publicHost.replace(/^\[(.*)\]$/, '[IPv6:$1]');
}

/** The file is there whole or not at all, and on disk when the promise is kept; only its owner reads it. */
async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  const draft = join(folder, `.${randomUUID()}.tmp`);
  try {
    // Node's permission model has no fsync: a file that is written through needs none.
    const { O_WRONLY, O_CREAT, O_EXCL, O_SYNC = 0 } = constants;
    await writeFile(draft, text, { flag: O_WRONLY | O_CREAT | O_EXCL | O_SYNC, mode: 0o600 });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/** The new name is on disk too, unless the platform (EPERM on Windows) or Node's permission model forbids to ask. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!['EPERM', 'ERR_ACCESS_DENIED'].includes(String((error as NodeJS.ErrnoException).code))) throw error;
  } finally {
    await handle.close();
  }
}
