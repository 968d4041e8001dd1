import { ATOM, EMAIL_MAX_LENGTH, LABEL } from '../core/email.ts';

/** Who a mail is from: an address, and the name that mail programs show instead of it (empty: none). */
export interface Mailbox {
  name: string;
  address: string;
}

/** As `EMAIL`, but the domain may be a single label: `root@localhost`. */
const addrSpec = new RegExp(`^${ATOM}(?:\\.${ATOM})*@${LABEL}(?:\\.${LABEL})*$`);

/**
 * Is this a plain addr-spec (RFC 5321 §4.1.2: Dot-string "@" Domain) in ASCII, at most 254 characters? Quoted local
 * parts, address literals, spaces, control characters and angle brackets are not: what passes can be put between the
 * `<` and `>` of an SMTP command or into a header as it is.
 */
export const isAddress = (text: string): boolean => text.length <= EMAIL_MAX_LENGTH && addrSpec.test(text);

/**
 * `a@example.org`, `Name <a@example.org>` or `"Name, Inc." <a@example.org>` → its parts. Anything else, and a name
 * with a control character in it, is an Error whose message says what is accepted.
 */
export function toMailbox(text: string): Mailbox {
  const named = /^([^<>]*)<([^<>]*)>$/.exec(text.trim());
  const address = named === null ? text.trim() : named[2]!;
  const shown = named === null ? '' : named[1]!.trim();
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(shown);
  const name = quoted === null ? shown : quoted[1]!.replace(/\\(.)/g, '$1');
  if (!isAddress(address) || /\p{Cc}/u.test(name)) {
    throw new Error('is no mailbox; accepted: an ASCII address, or a name and an address: Name <name@example.org>');
  }
  return { name, address };
}
