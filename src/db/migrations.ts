import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

import type { Migration } from './database.ts';

/** The steps in a folder of `NNNN_name.sql` files, in order. */
export function loadMigrations(folder: URL): Migration[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const [, version, name] = /^(\d{4})_(\w+)\.sql$/.exec(file) ?? [];
      if (version === undefined || name === undefined) throw new Error(`${file} is not named NNNN_name.sql`);
      const sql = readFileSync(new URL(file, folder), 'utf8');
      return { version: Number(version), name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    });
}

/**
 * What is still to be applied. Throws a sentence for the operator when the database and the code do not belong
 * together: an applied step was changed, or is unknown here because the database is newer.
 */
export function pendingMigrations(
  applied: readonly Omit<Migration, 'sql'>[],
  available: readonly Migration[],
): Migration[] {
  available.forEach(({ version, name }, i) => {
    if (version !== i + 1) throw new Error(`Migration ${name} has the number ${version}; ${i + 1} was expected.`);
  });
  for (const { version, name, checksum } of applied) {
    const known = available.find((migration) => migration.version === version);
    if (known === undefined) {
      throw new Error(`The database is newer than this code: it has migration ${version} (${name}). Run newer code.`);
    }
    if (known.checksum !== checksum) {
      throw new Error(
        `Migration ${version} (${name}) was changed after it was applied. Restore its text; write a new one instead.`,
      );
    }
  }
  const done = new Set(applied.map(({ version }) => version));
  return available.filter(({ version }) => !done.has(version));
}
