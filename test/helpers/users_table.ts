import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { uuidv7 } from '../../src/core/uuid.ts';

/** Adds users straight to the file; the name of each is what `nameOf` says. */
export function addUsers(folder: string, count: number, nameOf = (i: number): string => `Name ${i}`): void {
  const db = new DatabaseSync(path.join(folder, 'app.db'), { timeout: 5_000 });
  try {
    const insert = db.prepare(`INSERT INTO users
      (id, email, email_key, full_name, role, is_active, password_hash, created_at, updated_at)
      VALUES (?, ?, ?, ?, 'user', 1, 'x', ?, ?)`);
    db.exec('BEGIN');
    for (let i = 0; i < count; i++) {
      const at = Date.UTC(2026, 2, 1) + i;
      insert.run(uuidv7(at), `u${i}@example.com`, `u${i}@example.com`, nameOf(i), at, at);
    }
    db.exec('COMMIT');
  } finally {
    db.close();
  }
}
