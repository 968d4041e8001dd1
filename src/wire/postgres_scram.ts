import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/** Past this a hostile server would only be burning our time; PostgreSQL's default is 4,096. */
const MAX_ITERATIONS = 1_000_000;

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/**
 * SASLprep (RFC 4013 §2.1–2.2) as PostgreSQL does it: spaces become U+0020, invisible characters vanish, NFKC.
 * PostgreSQL takes a password with prohibited or unassigned characters as it stands; those are not looked for here.
 */
const prepare = (password: string): string =>
  password
    .replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
    .replace(/[\u00ad\u034f\u1806\u180b-\u180d\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]/g, '')
    .normalize('NFKC');

/** `r=…,s=…,i=…` and the like as a map; no attribute of SCRAM's is allowed twice (RFC 5802 §5.1). */
function toAttributes(message: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const part of message.split(',')) {
    const name = part.slice(0, 1);
    if (part[1] !== '=' || attributes.has(name)) throw new Error('The server sent a malformed SCRAM message.');
    attributes.set(name, part.slice(2));
  }
  return attributes;
}

export interface Scram {
  /** The client-first-message. */
  readonly first: string;
  /** The client-final-message, answering the server-first-message. Error: the server does not play by the rules. */
  respond(serverFirst: string): Promise<string>;
  /** Takes the server-final-message. Error: the server has not proved that it knows the password. */
  verify(serverFinal: string): void;
}

/**
 * One SCRAM-SHA-256 exchange (RFC 5802, RFC 7677), from the client's side, without channel binding: the name is
 * proved by `sslmode=verify-full` instead. PostgreSQL takes the user from the startup message and ignores the one here.
 */
export function createScram({
  password,
  user = '',
  nonce = randomBytes(18).toString('base64'),
}: {
  password: string;
  user?: string;
  nonce?: string;
}): Scram {
  const firstBare = `n=${user},r=${nonce}`;
  let expected: Buffer | undefined;

  return {
    first: `n,,${firstBare}`,

    async respond(serverFirst) {
      const attributes = toAttributes(serverFirst);
      const [combined, salt, iterations] = ['r', 's', 'i'].map((name) => attributes.get(name) ?? '') as
        [string, string, string];
      if (!combined.startsWith(nonce) || combined.length === nonce.length) {
        throw new Error('The server answered the SCRAM nonce with one of its own making.');
      }
      if (salt === '' || !/^[1-9][0-9]{0,6}$/.test(iterations) || Number(iterations) > MAX_ITERATIONS) {
        throw new Error(`The server sent no SCRAM salt, or asks for more than ${MAX_ITERATIONS} iterations.`);
      }
      const salted = await derive(prepare(password), Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
      const clientKey = hmac(salted, 'Client Key');
      const storedKey = createHash('sha256').update(clientKey).digest();
      const finalWithoutProof = `c=biws,r=${combined}`;
      const authMessage = `${firstBare},${serverFirst},${finalWithoutProof}`;
      const signature = hmac(storedKey, authMessage);
      expected = hmac(hmac(salted, 'Server Key'), authMessage);
      const proof = clientKey.map((byte, index) => byte ^ (signature[index] as number));
      return `${finalWithoutProof},p=${Buffer.from(proof).toString('base64')}`;
    },

    verify(serverFinal) {
      const given = Buffer.from(toAttributes(serverFinal).get('v') ?? '', 'base64');
      if (expected === undefined || given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new Error('The server does not know the password that it asks for: its SCRAM signature is wrong.');
      }
    },
  };
}
