import { isIP } from 'node:net';

/**
 * One setting: how its text is read, its default and what it means. `read` returns the value, or what is wrong with
 * the text.
 */
export interface Setting<T> {
  read(text: string): T | Wrong;
  /** What is accepted, for people. */
  accepts: string;
  /** The default as one would write it; undefined: unset. */
  fallback: string | undefined;
  meaning: string;
  /** May also come from the file that NAME_FILE names; its value is never shown. */
  secret: boolean;
}

/** What is wrong with a text, as a sentence that the setting's name begins: `PORT is "abc"`. */
export class Wrong {
  readonly problem: string;
  /** The text, or the part of it that is wrong; never shown of a secret. */
  readonly quoted: string | undefined;

  constructor(problem: string, quoted?: string) {
    this.problem = problem;
    this.quoted = quoted;
  }
}

type Options = { secret?: boolean };
/** Only a setting with a default always has a value. */
type Presence<T, F> = F extends string ? T : T | undefined;

function setting<T, F extends string | undefined>(
  accepts: string,
  read: (text: string) => T | Wrong,
  fallback: F,
  meaning: string,
  { secret = false }: Options = {},
): Setting<Presence<T, F>> {
  return { accepts, read: read as Setting<Presence<T, F>>['read'], fallback, meaning, secret };
}

export const text = <F extends string | undefined>(fallback: F, meaning: string, options?: Options) =>
  setting('text', (value): string => value, fallback, meaning, options);

/** An IP address or a host name; a name that ends in a number is an address gone wrong (WHATWG URL §3.5). */
export const host = (fallback: string, meaning: string) =>
  setting(
    'an IP address or a host name',
    (value): string | Wrong => {
      const isName = /^(?:[\w-]+\.)*(?!\d+$)[\w-]+$/.test(value) && value.length <= 253;
      return isName || isIP(value) !== 0 ? value : new Wrong('is', value);
    },
    fallback,
    meaning,
  );

export const choice = <const T extends string>(values: readonly T[], fallback: T, meaning: string) =>
  setting(
    values.join(', '),
    (value) => (values as readonly string[]).includes(value) ? (value as T) : new Wrong('is', value),
    fallback,
    meaning,
  );

export const flag = (fallback: 'true' | 'false', meaning: string) =>
  setting(
    'true or false',
    (value) => (value === 'true' || value === 'false' ? value === 'true' : new Wrong('is', value)),
    fallback,
    meaning,
  );

export const integer = (min: number, max: number, fallback: string, meaning: string) =>
  setting(
    `a whole number from ${min} to ${max}`,
    (value) => {
      const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
      return number >= min && number <= max ? number : new Wrong('is', value);
    },
    fallback,
    meaning,
  );

const milliseconds = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function readDuration(value: string): number | undefined {
  const [, count, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(value) ?? [];
  return unit === undefined ? undefined : Number(count) * milliseconds[unit as keyof typeof milliseconds];
}

const MAX_DURATION = 3650 * milliseconds.d;

/** Milliseconds. */
export const duration = (min: number, fallback: string, meaning: string) =>
  setting(
    `a duration such as 500ms, 15m or 30d (ms, s, m, h, d), ${min === 0 ? '' : `at least ${min}ms, `}at most 3650d`,
    (value) => {
      const ms = readDuration(value);
      return ms !== undefined && ms >= min && ms <= MAX_DURATION ? ms : new Wrong('is', value);
    },
    fallback,
    meaning,
  );

export interface Limit {
  limit: number;
  windowMs: number;
}

export const limit = (fallback: string, meaning: string) =>
  setting<Limit, string>(
    'COUNT/DURATION such as 100/60s, both above zero',
    (value) => {
      const [, count, window] = /^(\d{1,10})\/(\w+)$/.exec(value) ?? [];
      const windowMs = window === undefined ? undefined : readDuration(window);
      const valid = windowMs !== undefined && windowMs > 0 && windowMs <= MAX_DURATION && Number(count) > 0;
      return valid ? { limit: Number(count), windowMs } : new Wrong('is', value);
    },
    fallback,
    meaning,
  );

/** Bytes. */
export const size = (fallback: string, meaning: string) =>
  setting(
    'a size such as 65536, 64kb or 1mb, at most 64mb',
    (value) => {
      const [, count, unit] = /^(\d{1,9})(b|kb|mb)?$/.exec(value) ?? [];
      const bytes = count === undefined ? NaN : Number(count) * (unit === 'mb' ? 1 << 20 : unit === 'kb' ? 1 << 10 : 1);
      return bytes >= 1 && bytes <= 64 << 20 ? bytes : new Wrong('is', value);
    },
    fallback,
    meaning,
  );

const listed = (value: string): string[] => value.split(',').map((item) => item.trim()).filter((item) => item !== '');

/** Addresses and CIDR ranges, as [address, prefix length]. */
export const cidrs = (meaning: string) =>
  setting(
    'addresses or CIDR ranges with commas between, such as 10.0.0.0/8, ::1',
    (value) => {
      const ranges: [address: string, prefix: number][] = [];
      for (const item of listed(value)) {
        const [, address, prefix] = /^([0-9a-fA-F.:]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(item) ?? [];
        const bits = isIP(address ?? '') === 4 ? 32 : isIP(address ?? '') === 6 ? 128 : -1;
        if (address === undefined || bits < 0 || Number(prefix ?? bits) > bits) return new Wrong('has', item);
        ranges.push([address, Number(prefix ?? bits)]);
      }
      return ranges;
    },
    undefined,
    meaning,
  );

/** `'*'`, or a list of origins (RFC 6454). */
export const origins = (meaning: string) =>
  setting<'*' | string[], undefined>(
    '* or origins with commas between, such as https://example.com, without a path',
    (value) => {
      if (value.trim() === '*') return '*';
      // Browsers send no wildcard: an origin with one in it would never match.
      const isOrigin = (item: string) => /^https?:[^*]+$/.test(item) && URL.parse(item)?.origin === item;
      const wrong = listed(value).find((item) => !isOrigin(item));
      return wrong === undefined ? listed(value) : new Wrong('has', wrong);
    },
    undefined,
    meaning,
  );

/** A URL with one of the schemes; kept as text. */
export const url = <F extends string | undefined>(schemes: string[], fallback: F, meaning: string, options?: Options) =>
  setting(
    `a URL that begins with ${schemes.join(' or ')}`,
    (value): string | Wrong => {
      const scheme = schemes.find((start) => value.startsWith(start));
      if (scheme === undefined) return new Wrong('begins differently');
      if (scheme.endsWith('//') && !URL.canParse(value)) return new Wrong('is not a URL');
      if (value === 'sqlite:' || value === 'file:') return new Wrong('names no path');
      return value;
    },
    fallback,
    meaning,
    options,
  );

/** One or more HS256 keys; each at least 32 bytes of UTF-8 (RFC 7518 §3.2). */
export const keys = (meaning: string, { several = false } = {}) =>
  setting(
    several ? 'keys of at least 32 bytes each, with commas between' : 'at least 32 bytes',
    (value): string[] | Wrong => {
      const found = several ? listed(value) : [value];
      const short = found.find((key) => Buffer.byteLength(key) < 32);
      return short === undefined ? found : new Wrong(`has a key of ${Buffer.byteLength(short)} bytes`);
    },
    undefined,
    meaning,
    { secret: true },
  );
