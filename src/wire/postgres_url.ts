import { isIP } from 'node:net';

/**
 * libpq's meanings: `disable` never encrypts, `require` encrypts but asks nobody who the server is, `verify-full`
 * also checks the certificate's chain and name.
 */
export const sslmodes = ['disable', 'require', 'verify-full'] as const;
export type SslMode = (typeof sslmodes)[number];

const ACCEPTED = `accepted is postgres://user:password@host:5432/database?sslmode=${sslmodes.join('|')}`;

export interface PostgresAddress {
  host: string;
  port: number;
  user: string;
  password: string | undefined;
  database: string;
  sslmode: SslMode;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

function decode(part: string, name: string): string {
  try {
    const text = decodeURIComponent(part);
    if (!text.includes('\0')) return text;
  } catch {
    // A stray % and a NUL are told in the same words.
  }
  throw new Error(`its ${name} is not validly percent-encoded; ${ACCEPTED}`);
}

/**
 * `postgres://user[:password]@host[:5432][/database][?sslmode=…]`, or `postgresql://`; user, password and database
 * percent-encoded. The database is by default named like the user. Without `sslmode` it is `disable` for a loopback
 * host and `require` otherwise: libpq's `prefer`, which an attacker talks down to plain text, is not offered.
 * Anything else is an Error whose message never quotes the URL.
 */
export function toPostgresAddress(text: string): PostgresAddress {
  if (!URL.canParse(text)) throw new Error(`it is not a URL; ${ACCEPTED}`);
  const url = new URL(text);
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    throw new Error(`it has another scheme; ${ACCEPTED}`);
  }
  const host = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'), 'host');
  if (host === '') throw new Error(`it names no host; ${ACCEPTED}`);
  if (url.username === '') throw new Error(`it names no user; ${ACCEPTED}`);
  // Not named: it may be the end of a password with a question mark in it.
  if (url.searchParams.keys().some((name) => name !== 'sslmode')) {
    throw new Error(`it has a parameter besides sslmode; ${ACCEPTED}`);
  }
  if (url.hash !== '') throw new Error(`it has a fragment; ${ACCEPTED}`);
  const sslmode = url.searchParams.get('sslmode') ?? (isLoopback(host) ? 'disable' : 'require');
  const known = sslmodes.find((mode) => mode === sslmode);
  if (known === undefined || url.searchParams.getAll('sslmode').length > 1) {
    throw new Error(`its sslmode is unknown or repeated; ${ACCEPTED}`);
  }
  const user = decode(url.username, 'user');
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    user,
    password: url.password === '' ? undefined : decode(url.password, 'password'),
    database: decode(url.pathname.slice(1), 'database') || user,
    sslmode: known,
  };
}
