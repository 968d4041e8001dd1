import { isAddress } from './mail_address.ts';
import type { Mailbox } from './mail_address.ts';

/** A mail before it is written down. */
export interface Draft {
  from: Mailbox;
  /** An ASCII address, without a name. */
  to: string;
  subject: string;
  /** Any text; its lines end in LF, CRLF or CR. Lone surrogates become U+FFFD. */
  text: string;
  /** Milliseconds since 1970. */
  date: number;
  /** `left@host`, without the angle brackets: the same for every attempt to deliver the same mail. */
  messageId: string;
}

/** Columns of a header line; RFC 2047 §2 allows 76 where there is an encoded-word, RFC 5322 §2.1.1 asks for 78. */
const HEADER_COLUMNS = 76;
/** Columns of a quoted-printable line, its soft break included (RFC 2045 §6.7, rule 5). */
const BODY_COLUMNS = 76;
/** Octets in an encoded-word: 52 characters of base64 and 12 around them fit beside the name of any header here. */
const ENCODED_WORD_BYTES = 39;

/**
 * The mail as an RFC 5322 message: ASCII, CRLF line ends, no line over 998 characters; text/plain in UTF-8 as
 * quoted-printable, which brings every text through any server unchanged but for its line ends. `Auto-Submitted`
 * (RFC 3834 §5) keeps automatic replies away. CR, LF or NUL in what becomes a header, an address that is none and a
 * date that is none are Errors: the callers check what people type.
 */
export function toMessage(draft: Draft): string {
  for (const value of [draft.from.name, draft.subject]) {
    if (/[\r\n\0]/.test(value)) throw new Error('a mail header holds CR, LF or NUL');
  }
  if (!isAddress(draft.from.address) || !isAddress(draft.to)) throw new Error('a mail address is malformed');
  if (!/^[\w-]{1,128}@[\w.:[\]-]{1,255}$/.test(draft.messageId)) throw new Error('a Message-ID is malformed');
  const { name, address } = draft.from;
  return [
    header('Date', toRfc5322Date(draft.date).split(' ')),
    header('From', name === '' ? [address] : [...toPhrase(name), `<${address}>`]),
    header('To', [draft.to]),
    // Never folded: programs that compare Message-IDs as lines outnumber those that mind a long one.
    `Message-ID: <${draft.messageId}>\r\n`,
    header('Subject', toWords(draft.subject)),
    'Auto-Submitted: auto-generated\r\n',
    'MIME-Version: 1.0\r\n',
    'Content-Type: text/plain; charset=utf-8\r\n',
    'Content-Transfer-Encoding: quoted-printable\r\n',
    '\r\n',
    toQuotedPrintable(draft.text),
  ].join('');
}

/** `Thu, 01 Jan 1970 00:00:00 +0000` (RFC 5322 §3.3). */
function toRfc5322Date(ms: number): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) throw new Error('the date of a mail is not a moment');
  return date.toUTCString().replace('GMT', '+0000');
}

/** One header field: the words apart by spaces, folded before the one that would pass the last column. */
function header(name: string, words: readonly string[]): string {
  let field = `${name}:`;
  let column = field.length;
  for (const word of words) {
    const fold = column + 1 + word.length > HEADER_COLUMNS;
    field += fold ? `\r\n ${word}` : ` ${word}`;
    column = (fold ? 0 : column) + 1 + word.length;
  }
  return `${field}\r\n`;
}

/** Unstructured text (RFC 5322 §2.2.1): as it is where folding at single spaces keeps it whole, else encoded. */
function toWords(text: string): string[] {
  const plain = /^[!-~]{1,60}(?: [!-~]{1,60})*$/.test(text) && !text.includes('=?');
  return plain ? text.split(' ') : toEncodedWords(text);
}

/** A display name (RFC 5322 §3.2.5): atoms as they are, anything else encoded, where others would quote. */
function toPhrase(name: string): string[] {
  const atoms = /^[\w!#$%&'*+/^`{|}~-]{1,60}(?: [\w!#$%&'*+/^`{|}~-]{1,60})*$/.test(name);
  return atoms ? name.split(' ') : toEncodedWords(name);
}

/** RFC 2047 `B` words, each of whole characters (§5); the space between two of them is not part of the text (§6.2). */
function toEncodedWords(text: string): string[] {
  const words: string[] = [];
  let word = '';
  let bytes = 0;
  for (const character of text) {
    const length = Buffer.byteLength(character);
    if (bytes + length > ENCODED_WORD_BYTES) {
      words.push(word);
      word = '';
      bytes = 0;
    }
    word += character;
    bytes += length;
  }
  if (word !== '') words.push(word);
  return words.map((each) => `=?utf-8?B?${Buffer.from(each).toString('base64')}?=`);
}

/** RFC 2045 §6.7; ends in CRLF. */
function toQuotedPrintable(text: string): string {
  const lines = text.split(/\r\n|\r|\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => `${toQuotedPrintableLine(line)}\r\n`).join('');
}

function toQuotedPrintableLine(line: string): string {
  const octets = Buffer.from(line);
  let encoded = '';
  let column = 0;
  for (let i = 0; i < octets.length; i++) {
    const last = i === octets.length - 1;
    const token = toQuotedPrintableOctet(octets[i]!, last);
    if (column + token.length > (last ? BODY_COLUMNS : BODY_COLUMNS - 1)) {
      encoded += '=\r\n';
      column = 0;
    }
    encoded += token;
    column += token.length;
  }
  return encoded;
}

/** Printable ASCII but `=` stands for itself, and so do space and tab unless they end the line (rules 2 and 3). */
function toQuotedPrintableOctet(octet: number, last: boolean): string {
  const blank = octet === 0x20 || octet === 0x09;
  const literal = blank ? !last : octet > 0x20 && octet < 0x7f && octet !== 0x3d;
  return literal ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`;
}
