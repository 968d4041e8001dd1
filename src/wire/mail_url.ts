import { toSmtpTarget } from './smtp_target.ts';
import type { SmtpTarget } from './smtp_target.ts';

/** Where mail goes: the log, a folder, or a server. */
export type MailTarget = { kind: 'log' } | { kind: 'file'; folder: string } | { kind: 'smtp'; server: SmtpTarget };

/** `log:`, `file:./folder`, `smtp://…` or `smtps://…`. Anything else is an Error that repeats nothing of it. */
export function toMailTarget(url: string): MailTarget {
  if (url === 'log:') return { kind: 'log' };
  if (/^smtps?:/.test(url)) return { kind: 'smtp', server: toSmtpTarget(url) };
  const folder = /^file:(.+)$/s.exec(url)?.[1]?.replace(/^\/\/\//, '/');
  if (folder === undefined || folder.startsWith('//')) {
    throw new Error('it is none of what is accepted: log:, file:./folder, smtp://user:password@host:587, smtps://…');
  }
  return { kind: 'file', folder };
}

/** The host of PUBLIC_URL: the right side of Message-IDs, and what SMTP servers are told that we are. */
export function toPublicHost(publicUrl: string): string {
  const { hostname } = new URL(publicUrl);
  if (!/^(?:[\w-]+(?:\.[\w-]+)*|\[[\da-f:.]+\])$/i.test(hostname)) {
    throw new Error('its host is malformed; accepted: a name or an address');
  }
  return hostname;
}
