import { isAddress } from './mail_address.ts';
import { Channel } from './smtp_channel.ts';
import type { ChannelOptions } from './smtp_channel.ts';
import { SmtpFailure, toFailure } from './smtp_failure.ts';
import type { Step } from './smtp_failure.ts';
import type { Reply } from './smtp_reply.ts';
import type { Credentials, SmtpTarget } from './smtp_target.ts';

/** Who the servers on the way are told that the mail is from and for: bare addresses. */
export interface Envelope {
  from: string;
  to: string;
}

export interface SmtpOptions extends ChannelOptions {
  /** What this host calls itself in EHLO: a domain, or an address literal such as `[127.0.0.1]`. */
  clientName: string;
  /** The largest message, in bytes. */
  maxBytes: number;
}

/** EHLO keywords in upper case → their parameters. */
type Extensions = Map<string, string[]>;

/**
 * Hands one message over on a connection of its own (RFC 5321); kept, the promise means that the server has taken
 * responsibility for it. Rejects with an SmtpFailure. When a connection breaks after the message was sent and before
 * it was answered, the server may have it all the same: another attempt can deliver it twice, under one Message-ID.
 *
 * STARTTLS (RFC 3207) is used whenever it is offered, and without TLS nobody but this machine is talked to;
 * credentials are never sent without it. Of what was said before TLS nothing is believed after it.
 */
export async function sendMail(
  target: SmtpTarget,
  envelope: Envelope,
  message: string,
  options: SmtpOptions,
): Promise<void> {
  if (!isAddress(envelope.from) || !isAddress(envelope.to)) throw unsendable('an address is malformed');
  const content = toContent(message, options.maxBytes);
  // RFC 5321 §4.5.2: so that no line of the mail can be the one that ends it.
  const stuffed = content.replace(/^\./gm, '..');
  const channel = new Channel(target.host, target.port, options);
  try {
    await channel.connected();
    if (target.implicitTls) await channel.secure();
    expect('greeting', await channel.reply('greeting'), 220);
    const extensions = await introduce(channel, options.clientName);
    if (target.credentials !== undefined) await authenticate(channel, extensions, target.credentials);
    const size = sizeParameter(extensions, content.length);
    expect('sender', await channel.command('sender', `MAIL FROM:<${envelope.from}>${size}`), 250);
    expect('recipient', await channel.command('recipient', `RCPT TO:<${envelope.to}>`), 250, 251, 252);
    expect('data', await channel.command('data', 'DATA'), 354);
    expect('content', await channel.content('content', `${stuffed}.\r\n`), 250);
  } finally {
    await channel.close();
  }
}

const unsendable = (reason: string): SmtpFailure => new SmtpFailure('mail', reason, { permanent: true });

function expect(step: Step, reply: Reply, ...codes: number[]): void {
  if (!codes.includes(reply.code)) throw toFailure(step, reply);
}

/** Lines that end in CRLF, of at most 998 characters (RFC 5321 §4.5.3.1.6); refuses what would need 8BITMIME. */
function toContent(message: string, maxBytes: number): string {
  if (message.length > maxBytes) throw unsendable('the message is too large');
  if (/[^\t\r\n -~]/.test(message)) throw unsendable('the message is not ASCII text');
  const lines = message.split(/\r\n|\r|\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines.some((line) => line.length > 998)) throw unsendable('a line of the message is too long');
  return lines.map((line) => `${line}\r\n`).join('');
}

/** EHLO, and once more after STARTTLS, for the server may promise other things to those who can be trusted. */
async function introduce(channel: Channel, clientName: string): Promise<Extensions> {
  const extensions = await hello(channel, clientName);
  if (channel.isSecure) return extensions;
  if (extensions.has('STARTTLS')) {
    expect('starttls', await channel.command('starttls', 'STARTTLS'), 220);
    await channel.secure();
    return hello(channel, clientName);
  }
  if (channel.isLoopback) return extensions;
  throw new SmtpFailure('starttls', 'the server does not offer it, and without TLS only this machine is talked to');
}

/** EHLO, or HELO for a server that does not know it (RFC 5321 §3.2), which then has no extensions. */
async function hello(channel: Channel, clientName: string): Promise<Extensions> {
  const reply = await channel.command('hello', `EHLO ${clientName}`);
  if (reply.code >= 500) {
    expect('hello', await channel.command('hello', `HELO ${clientName}`), 250);
    return new Map();
  }
  expect('hello', reply, 250);
  const keywords = reply.lines.slice(1).map((line) => line.toUpperCase().split(' '));
  return new Map(keywords.map(([keyword = '', ...parameters]) => [keyword, parameters]));
}

/** AUTH PLAIN (RFC 4616) or the older LOGIN. */
async function authenticate(channel: Channel, extensions: Extensions, credentials: Credentials): Promise<void> {
  if (!channel.isSecure) throw new SmtpFailure('auth', 'the password is not sent without TLS');
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const say = async (line: string, code: number): Promise<void> =>
    expect('auth', await channel.command('auth', line), code);
  const { user, password } = credentials;
  const mechanisms = extensions.get('AUTH') ?? [];
  if (mechanisms.includes('PLAIN')) {
    const response = base64(`\0${user}\0${password}`);
    const line = `AUTH PLAIN ${response}`;
    if (line.length <= 510) return say(line, 235);
    await say('AUTH PLAIN', 334);
    return say(response, 235);
  }
  if (!mechanisms.includes('LOGIN')) throw new SmtpFailure('auth', 'the server offers neither PLAIN nor LOGIN');
  await say('AUTH LOGIN', 334);
  await say(base64(user), 334);
  await say(base64(password), 235);
}

/** RFC 1870: the size without stuffed dots, for a server that wants to know; what it would not take is not begun. */
function sizeParameter(extensions: Extensions, bytes: number): string {
  const size = extensions.get('SIZE');
  if (size === undefined) return '';
  const most = Number(size[0] ?? 0);
  if (most > 0 && bytes > most) throw unsendable('the message is larger than the server takes');
  return ` SIZE=${bytes}`;
}
