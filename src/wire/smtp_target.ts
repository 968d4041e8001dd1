import { isIP } from 'node:net';

export interface Credentials {
  user: string;
  password: string;
}

/** Where mail is handed over, and as whom. */
export interface SmtpTarget {
  /** A name or an address, IPv6 without brackets; the certificate has to be for it. */
  host: string;
  port: number;
  /** TLS from the first byte on (RFC 8314 §3.3), not only after STARTTLS. */
  implicitTls: boolean;
  credentials?: Credentials;
}

const MAX_CREDENTIAL_BYTES = 4096;
const ACCEPTED = 'accepted are smtp://user:password@host:587 and smtps://user:password@host:465';

/**
 * `smtp://[user:password@]host[:587]` or `smtps://[user:password@]host[:465]`, user and password percent-encoded.
 * Anything else is an Error that says what is accepted and repeats nothing of the URL, for there is a password in it.
 */
export function toSmtpTarget(url: string): SmtpTarget {
  const parsed = URL.parse(url);
  if (parsed === null) throw new Error(`it is not a URL; ${ACCEPTED}`);
  const { protocol, pathname, search, hash } = parsed;
  if (protocol !== 'smtp:' && protocol !== 'smtps:') throw new Error(`it has another scheme; ${ACCEPTED}`);
  if (!['', '/'].includes(pathname) || search !== '' || hash !== '') throw new Error(`it has a path; ${ACCEPTED}`);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const isName = /^[\w-]+(?:\.[\w-]+)*\.?$/.test(host);
  if (isIP(host) === 0 && !isName) throw new Error(`its host is malformed; ${ACCEPTED}`);
  const implicitTls = protocol === 'smtps:';
  const port = parsed.port === '' ? (implicitTls ? 465 : 587) : Number(parsed.port);
  if (port === 0) throw new Error(`its port is 0; ${ACCEPTED}`);
  const user = decoded(parsed.username);
  const password = decoded(parsed.password);
  if ((user === '') !== (password === '')) throw new Error(`user and password belong together; ${ACCEPTED}`);
  return { host, port, implicitTls, ...(user === '' ? {} : { credentials: { user, password } }) };
}

function decoded(text: string): string {
  let plain: string | undefined;
  try {
    plain = decodeURIComponent(text);
  } catch {
    plain = undefined;
  }
  if (plain === undefined) throw new Error(`user or password is not percent-encoded; ${ACCEPTED}`);
  if (/\p{Cc}/u.test(plain)) throw new Error('user or password has a control character in it');
  if (Buffer.byteLength(plain) > MAX_CREDENTIAL_BYTES) throw new Error('user or password is too long');
  return plain;
}
