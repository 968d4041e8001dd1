import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** What our tokens say (RFC 7519 §4.1 and our own). Times are whole seconds since 1970. */
export interface Claims {
  /** User id. */
  sub: string;
  role: string;
  /** Session id. */
  sid: string;
  jti: string;
  iat: number;
  exp: number;
  typ: 'access' | 'refresh';
}

export interface TokenSettings {
  /** The first signs; all verify. UTF-8 bytes of the text. */
  keys: readonly string[];
  issuer: string | undefined;
  audience: string | undefined;
}

export interface Tokens {
  sign(claims: Claims): string;
  /**
   * The claims of a token of that type which we signed and which has not expired at `now` (ms), or undefined. With
   * `evenExpired` its age does not matter.
   */
  verify(token: string, typ: Claims['typ'], now: number, options?: { evenExpired: boolean }): Claims | undefined;
}

/** The only header there is: it is compared, never read as a choice of algorithm (RFC 8725 §3.1). */
const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url');
const MAX_TOKEN_LENGTH = 4096;
const SIGNATURE_LENGTH = 43;
/** Tokens whose signature is not computed again. A token is verified once, and its expiry every time. */
const VERIFIED_TOKENS = 4096;

type Verified = Claims & { nbf?: number };

/** HS256 tokens (RFC 7515, 7518 §3.2): size, header, signature, and only then what the token says. */
export function createTokens({ keys, issuer, audience }: TokenSettings): Tokens {
  const secrets = keys.map((key) => createSecretKey(key, 'utf8'));
  /** By their signature, which is a tenth of a token to hash, and compared as a whole. */
  let verified = new Map<string, { token: string; claims: Verified }>();
  let before = verified;

  /** Two generations: when one is full, the older is forgotten whole. */
  const remember = (token: string, claims: Verified): void => {
    if (verified.size >= VERIFIED_TOKENS / 2) {
      before = verified;
      verified = new Map();
    }
    verified.set(token.slice(-SIGNATURE_LENGTH), { token, claims });
  };

  const remembered = (token: string): Verified | undefined => {
    const signature = token.slice(-SIGNATURE_LENGTH);
    const found = verified.get(signature) ?? before.get(signature);
    return found?.token === token ? found.claims : undefined;
  };

  return {
    sign(claims) {
      const all = {
        ...claims,
        ...(issuer === undefined ? {} : { iss: issuer }),
        ...(audience === undefined ? {} : { aud: audience }),
      };
      const input = `${HEADER}.${Buffer.from(JSON.stringify(all)).toString('base64url')}`;
      const token = `${input}.${signature(secrets[0]!, input).toString('base64url')}`;
      remember(token, claims);
      return token;
    },

    verify(token, typ, now, options) {
      let claims = remembered(token);
      if (claims === undefined) {
        claims = authentic(token, secrets, issuer, audience);
        if (claims === undefined) return undefined;
        remember(token, claims);
      }
      if (claims.typ !== typ) return undefined;
      if (claims.nbf !== undefined && claims.nbf * 1000 > now) return undefined;
      if (claims.exp * 1000 <= now && options?.evenExpired !== true) return undefined;
      return claims;
    },
  };
}

const signature = (key: KeyObject, input: string): Buffer => createHmac('sha256', key).update(input).digest();

function authentic(
  token: string,
  secrets: readonly KeyObject[],
  issuer: string | undefined,
  audience: string | undefined,
): Verified | undefined {
  if (token.length > MAX_TOKEN_LENGTH || !token.startsWith(`${HEADER}.`)) return undefined;
  const dot = token.length - SIGNATURE_LENGTH - 1;
  if (token.indexOf('.', HEADER.length + 1) !== dot) return undefined;
  const given = decodeBase64url(token.slice(dot + 1));
  if (given === undefined) return undefined;
  const input = token.slice(0, dot);
  // Every key is tried, so that the time does not tell which one signed.
  const matches = secrets.filter((key) => timingSafeEqual(signature(key, input), given));
  if (matches.length === 0) return undefined;
  const payload = decodeBase64url(token.slice(HEADER.length + 1, dot));
  return payload === undefined ? undefined : toClaims(payload, issuer, audience);
}

/** Base64url without padding and with no other text for the same bytes (RFC 4648 §3.5), or undefined. */
function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length > 0 && bytes.toString('base64url') === text ? bytes : undefined;
}

function toClaims(payload: Buffer, issuer: string | undefined, audience: string | undefined): Verified | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { sub, role, sid, jti, iat, exp, nbf, typ, iss, aud } = value as Record<string, unknown>;
  if (![sub, role, sid, jti].every((claim) => typeof claim === 'string' && claim !== '')) return undefined;
  if (!isTime(iat) || !isTime(exp) || !(nbf === undefined || isTime(nbf))) return undefined;
  if (typ !== 'access' && typ !== 'refresh') return undefined;
  if (!(iss === undefined || typeof iss === 'string') || !isAudience(aud)) return undefined;
  if (issuer !== undefined && iss !== issuer) return undefined;
  if (audience !== undefined && aud !== audience && !(Array.isArray(aud) && aud.includes(audience))) return undefined;
  const claims = { sub, role, sid, jti, iat, exp, typ } as Claims;
  return nbf === undefined ? claims : { ...claims, nbf };
}

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;

/** RFC 7519 §4.1.3: absent, a string, or an array of strings. */
const isAudience = (value: unknown): boolean =>
  value === undefined || [value].flat().every((item) => typeof item === 'string');
