import { uuidv7 } from '../../src/core/uuid.ts';
import { sqlEach } from './sql.ts';

const INSERT = `
  INSERT INTO users (id, email, email_key, full_name, role, is_active, password_hash, created_at, updated_at)
  VALUES ($1, $2, $2, $3, 'user', 1, 'x', $4, $4)`;

/** Adds users straight to the database of a server's folder; the name of each is what `nameOf` says. */
export async function addUsers(folder: string, count: number, nameOf = (i: number): string => `Name ${i}`): Promise<void> {
  const first = Date.UTC(2026, 2, 1);
  await sqlEach(folder, INSERT, Array.from({ length: count }, (_, i) =>
    [uuidv7(first + i), `u${i}@example.com`, nameOf(i), first + i]));
}
