import type { Config } from './config.ts';
import { rootOf } from './errors.ts';

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ENOTDIR: 'part of its path is no folder',
  EEXIST: 'it is no folder',
  ENOENT: 'its folder can not be made',
  ENOSPC: 'the disk is full',
};

/** The first file that is written beside the database: its folder is what can't be used. */
const KEY_IN_THE_MAKING = /[/\\][^/\\]+\.key\.[0-9a-f]{12}$/;

/** SQLite's result code for a file that holds something else (SQLITE_NOTADB). */
const NOT_A_DATABASE = 26;

/**
 * Why the server could not start and what to do, in a sentence that begins with the setting at fault, if one is. `file`
 * is that of a SQLite database, whose own words have no path in them.
 */
export function startFault(
  error: unknown,
  { host, port }: Pick<Config, 'host' | 'port'>,
  file: string | undefined,
): string {
  const { code, message, cause, path, syscall } = error as NodeJS.ErrnoException;
  const { errcode } = (code === 'unavailable' && cause instanceof Error ? cause : error) as { errcode?: number };
  if (code === 'EADDRINUSE') {
    const next = port < 65_535 ? port + 1 : 0;
    const advice = `stop that, or use another port: --port ${next} (0: any free one)`;
    return `PORT: ${port} is in use by another program; ${advice}`;
  }
  if (syscall === 'getaddrinfo' || code === 'EADDRNOTAVAIL') {
    return `HOST: ${host} is no address of this machine; accepted: one that is, 127.0.0.1 for this machine alone`;
  }
  if (code === 'EACCES' && syscall === 'listen') {
    return `PORT: ${port} may not be used by this user; accepted: 1024 or above, with a proxy in front for the others`;
  }
  if (code === 'ENOTSUP') return 'WORKERS: threads can not share a port on this system; accepted here: 1';
  if (path !== undefined) {
    const why = WORDS[code ?? ''] ?? message;
    const place = path.replace(KEY_IN_THE_MAKING, '');
    return `DATABASE_URL: ${place} can't be used: ${why}; accepted: sqlite:FILE in a folder that this user may write`;
  }
  if (errcode === NOT_A_DATABASE) {
    return `DATABASE_URL: ${file} is no SQLite database; accepted: sqlite:FILE where FILE is one, or is not there yet`;
  }
  if (errcode !== undefined || (code === 'ENOSPC' && file !== undefined)) {
    const why = WORDS[code ?? ''] ?? rootOf(error);
    return `DATABASE_URL: ${file} can't be used: ${why}; see that it is whole, not locked, and has room on its disk`;
  }
  if (code === 'unavailable') {
    const why = rootOf(error).replace(/\.$/, '');
    return `DATABASE_URL: the database can't be used: ${why}; see that it runs there and lets this user in`;
  }
  return `The server could not start: ${message}${cause instanceof Error ? ` (${rootOf(cause)})` : ''}`;
}
