import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';

import type { Config } from '../core/config.ts';
import { sqliteFile } from './session.ts';

/**
 * The keys of tokens, the signing one first: JWT_SECRET, or outside production the one kept beside the SQLite file, or
 * one for this start only, which the warning says.
 */
export function signingKeys(config: Pick<Config, 'jwtSecret' | 'jwtSecretPrevious' | 'databaseUrl'>) {
  const previous = config.jwtSecretPrevious ?? [];
  if (config.jwtSecret !== undefined) return { keys: [...config.jwtSecret, ...previous], warning: undefined };
  const file = sqliteFile(config.databaseUrl);
  if (file !== undefined && file !== ':memory:') {
    return { keys: [keyFromFile(`${file}.key`), ...previous], warning: undefined };
  }
  const warning = 'JWT_SECRET is unset: tokens are signed with a key for this start only, and end with it.';
  return { keys: [randomBytes(32).toString('base64url'), ...previous], warning };
}

/**
 * The signing key kept in a file of mode 0600: made from 32 random bytes the first time, read every time after. When
 * two servers start at once, one makes it and both use it.
 */
export function keyFromFile(file: string): string {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    const descriptor = openSync(file, 'wx', 0o600);
    writeSync(descriptor, `${randomBytes(32).toString('base64url')}\n`);
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  if (Buffer.byteLength(key) < 32) throw new Error(`${file} holds no key of at least 32 bytes; delete it or restore it.`);
  return key;
}
