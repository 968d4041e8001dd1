import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A mail as a person sees it. */
export interface Received {
  id: string;
  to: string;
  subject: string;
  text: string;
}

/** Reads a message: unfolds its header fields, decodes its quoted-printable text. */
export function toReceived(message: string): Received {
  const end = message.indexOf('\r\n\r\n');
  const fields = message.slice(0, end).replaceAll(/\r\n /g, ' ').split('\r\n');
  const field = (name: string): string => fields.find((each) => each.startsWith(`${name}: `))!.slice(name.length + 2);
  const encoded = message.slice(end + 4).replaceAll('=\r\n', '').replaceAll('\r\n', '\n');
  const octets = encoded.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  const text = Buffer.from(octets, 'latin1').toString();
  return { id: field('Message-ID'), to: field('To'), subject: field('Subject'), text };
}

/** The token as a person would copy it: it stands on a line of its own. */
export function tokenIn({ text }: Received): string {
  const found = /^[\w-]{43}$/m.exec(text);
  assert.ok(found, text);
  return found[0];
}

/** What `look` finds, as soon as it finds something; a test that waits in vain fails. */
export async function eventually<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let waited = 0; waited < 15_000; waited += 10) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(10);
  }
  return assert.fail(`never seen: ${what}`);
}

/** The mails that a server has put into its folder, in the order of their dates. */
export function mailsOf({ folder }: { folder: string }): Received[] {
  const outbox = path.join(folder, 'mail');
  const names = existsSync(outbox) ? readdirSync(outbox).filter((name) => name.endsWith('.eml')) : [];
  return names.sort().map((name) => toReceived(readFileSync(path.join(outbox, name), 'latin1')));
}

/** The newest mail with such a subject, once there are `count` of them. */
export const mailAbout = (server: { folder: string }, subject: RegExp, count = 1): Promise<Received> =>
  eventually(`${count} mails about ${subject}`, () => mailsOf(server).filter((mail) => subject.test(mail.subject))[count - 1]);
