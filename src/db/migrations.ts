import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { Migration } from './database.ts';

/** What the table `schema_migrations` remembers of a migration, besides when it was applied. */
export type AppliedMigration = Pick<Migration, 'version' | 'name' | 'checksum'>;

const NAME_PATTERN = /^([0-9]{4})_([a-z0-9_]+)\.sql$/;

/**
 * The migrations of a folder (a URL that ends with `/`), by version: its files `NNNN_name.sql`. The checksum is that
 * of the text with lines ended by LF, so that a checkout with other line ends is the same migration. Error: a `.sql`
 * file of another name.
 */
export function loadMigrations(folder: URL): Migration[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.sql')).sort();
  return files.map((file) => {
    const [, version, name] = NAME_PATTERN.exec(file) ?? [];
    if (version === undefined || name === undefined) {
      throw new Error(`${file} is no migration's name: rename it like 0001_create_users.sql.`);
    }
    const sql = readFileSync(new URL(file, folder), 'utf8').replaceAll('\r\n', '\n');
    return { version: Number(version), name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
  });
}

/** As its file is called, without the ending. */
export const toTitle = ({ version, name }: AppliedMigration): string => `${String(version).padStart(4, '0')}_${name}`;

/** Error: versions are not 1, 2, 3, … */
function checkNumbering(available: readonly Migration[]): void {
  available.forEach((migration, index) => {
    const before = available[index - 1];
    if (before?.version === migration.version) {
      throw new Error(`${toTitle(before)} and ${toTitle(migration)} have the same version: renumber the newer one.`);
    }
    if (migration.version !== index + 1) {
      const missing = String(index + 1).padStart(4, '0');
      throw new Error(`There is no migration ${missing}, though there is ${toTitle(migration)}: number without a gap.`);
    }
  });
}

/**
 * The migrations to apply now, in order. Error, in a sentence for who runs the server: an applied migration has been
 * changed since, is not known to this code, or was applied ahead of one that was not; or the available ones are not
 * numbered 1, 2, 3, …
 */
export function pendingMigrations(applied: readonly AppliedMigration[], available: readonly Migration[]): Migration[] {
  const inOrder = available.toSorted((a, b) => a.version - b.version);
  checkNumbering(inOrder);
  for (const done of applied) {
    const known = inOrder[done.version - 1];
    if (known === undefined) {
      throw new Error(
        `The database is newer than this code: it has migration ${toTitle(done)}, and the newest known here is ` +
          `${inOrder.length}. Start the version of the server that brought it, or a newer one.`,
      );
    }
    if (known.checksum !== done.checksum) {
      throw new Error(
        `Migration ${toTitle(done)} was changed after it had been applied: restore its text, and put the change into ` +
          'a new migration.',
      );
    }
  }
  const versions = new Set(applied.map(({ version }) => version));
  const pending = inOrder.filter(({ version }) => !versions.has(version));
  const skipped = pending.find(({ version }) => version <= versions.size);
  if (skipped !== undefined) {
    throw new Error(
      `The database has later migrations but lacks ${toTitle(skipped)}: restore the table schema_migrations, or the ` +
        'database, from a backup.',
    );
  }
  return pending;
}
