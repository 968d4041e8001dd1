import { randomBytes } from 'node:crypto';
import {
  closeSync, constants, existsSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeSync,
} from 'node:fs';
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
    return { keys: [...keysFromFile(keyFileOf(file)), ...previous], warning: undefined };
  }
  const warning = 'JWT_SECRET is unset: tokens are signed with a key for this start only, and end with it.';
  return { keys: [newKey(), ...previous], warning };
}

/** Where the keys of a SQLite database's tokens are kept. */
export const keyFileOf = (databaseFile: string): string => `${databaseFile}.key`;

/**
 * The keys kept in a file of mode 0600, one a line, the signing one first: one is made from 32 random bytes the first
 * time, and read every time after. When two servers start at once, one makes it and both use it.
 */
export function keysFromFile(file: string): string[] {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    if (!existsSync(file)) writeKeyFile(file, [newKey()]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const keys = readFileSync(file, 'utf8').split(/\r?\n/).filter((line) => line !== '');
  if (keys.length === 0 || keys.some((key) => Buffer.byteLength(key) < 32)) {
    throw new Error(`${file} holds no key of at least 32 bytes, or one that is shorter; delete it or restore it.`);
  }
  return keys;
}

export const newKey = (): string => randomBytes(32).toString('base64url');

/**
 * Makes the file with mode 0600, on the disk when this returns; one that exists is left as it is (`EEXIST`). It is
 * written under another name and then linked to its own: nobody ever reads half of it.
 */
export function writeKeyFile(file: string, keys: readonly string[]): void {
  const unfinished = `${file}.${randomBytes(6).toString('hex')}`;
  // Node's permission model has no fsync: a descriptor that writes through needs none.
  const { O_WRONLY, O_CREAT, O_EXCL, O_SYNC = 0 } = constants;
  const descriptor = openSync(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_SYNC, 0o600);
  try {
    writeSync(descriptor, keys.map((key) => `${key}\n`).join(''));
    linkSync(unfinished, file);
  } finally {
    closeSync(descriptor);
    rmSync(unfinished, { force: true });
  }
}
