/** Where a Redis is and how to be let in, as `redis://user:password@host:6379/0` says; `rediss://` is TLS. */
export interface RedisTarget {
  host: string;
  port: number;
  tls: boolean;
  user: string | undefined;
  password: string | undefined;
  db: number;
}

const ACCEPTED = 'accepted are redis://user:password@host:6379/0 and rediss://user:password@host:6379/0';

/** Refuses with an Error that says what is accepted and repeats nothing of the URL. */
export function toRedisTarget(url: string): RedisTarget {
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:')) {
    throw new Error(`it is not a URL of Redis; ${ACCEPTED}`);
  }
  const db = /^\/?(\d{0,9})$/.exec(parsed.pathname)?.[1];
  if (db === undefined || parsed.search !== '' || parsed.hash !== '') {
    throw new Error(`it has more than a database number after the host; ${ACCEPTED}`);
  }
  if (parsed.hostname === '') throw new Error(`it names no host; ${ACCEPTED}`);
  if (parsed.username !== '' && parsed.password === '') throw new Error(`it has a user and no password; ${ACCEPTED}`);
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? 6379 : Number(parsed.port),
    tls: parsed.protocol === 'rediss:',
    user: decoded(parsed.username),
    password: decoded(parsed.password),
    db: Number(db),
  };
}

function decoded(part: string): string | undefined {
  try {
    return part === '' ? undefined : decodeURIComponent(part);
  } catch {
    throw new Error(`its user or password is badly percent-encoded; ${ACCEPTED}`);
  }
}
