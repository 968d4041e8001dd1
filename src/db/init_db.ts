import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import type { Passwords } from '../core/passwords.ts';
import { uuidv7 } from '../core/uuid.ts';
import type { Database, Migration } from './database.ts';
import { loadMigrations } from './migrations.ts';
import type { AppliedMigration } from './migrations.ts';
import * as users from './users.ts';

/** The migrations that this code knows for a database of that kind. */
export const knownMigrations = ({ kind }: Pick<Database, 'kind'>): Migration[] =>
  loadMigrations(new URL(`./migrations/${kind}/`, import.meta.url));

/** Brings the schema up to date; the migrations that were applied now. */
export const migrate = (db: Database): Promise<Migration[]> => db.migrate(knownMigrations(db));

/** What has been applied, oldest first; empty in a database that was never migrated. */
export async function appliedMigrations(db: Database): Promise<AppliedMigration[]> {
  const [isThere] = (await db.one(HAS_TABLE[db.kind], []))!;
  if (isThere === 0) return [];
  const rows = await db.all('SELECT version, name, checksum FROM schema_migrations ORDER BY version', []);
  return rows.map(([version, name, checksum]) => ({ version, name, checksum }) as AppliedMigration);
}

const HAS_TABLE = {
  sqlite: "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
  postgres: "SELECT (to_regclass('schema_migrations') IS NOT NULL)::integer",
};

/** Asks whether the database has every known migration; it may have newer ones. */
export function createSchemaCheck(db: Database): () => Maybe<boolean> {
  let newest: number | undefined;
  return () =>
    then(db.one('SELECT max(version) FROM schema_migrations', []), (row) => {
      newest ??= knownMigrations(db).length;
      return Number(row?.[0] ?? 0) >= newest;
    });
}

export interface FirstAdmin {
  email: string;
  password: string;
}

/** Makes the administrator unless the address has an account, which is left as it is; whether one was made. */
export async function ensureFirstAdmin(
  db: Database,
  passwords: Passwords,
  { email, password }: FirstAdmin,
  now: number,
): Promise<boolean> {
  if ((await users.byEmail(db, email)) !== undefined) return false;
  const passwordHash = await passwords.hash(password);
  const admin = { id: uuidv7(now), email, fullName: undefined, role: 'admin' as const, passwordHash };
  // Whoever runs the server vouches for the address.
  return (await users.insert(db, { ...admin, emailVerifiedAt: now }, now)) !== undefined;
}
