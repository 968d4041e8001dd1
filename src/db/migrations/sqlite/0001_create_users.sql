CREATE TABLE users (
  id                TEXT    NOT NULL PRIMARY KEY,
  email             TEXT    NOT NULL,
  email_key         TEXT    NOT NULL UNIQUE,
  email_verified_at INTEGER,
  full_name         TEXT,
  role              TEXT    NOT NULL CHECK (role IN ('user', 'admin')),
  is_active         INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  password_hash     TEXT    NOT NULL,
  created_at        INTEGER NOT NULL,
  updated_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX users_admins ON users (id) WHERE role = 'admin';
