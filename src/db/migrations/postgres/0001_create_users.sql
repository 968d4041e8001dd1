CREATE TABLE users (
  id                text COLLATE "C" NOT NULL PRIMARY KEY,
  email             text    NOT NULL,
  email_key         text COLLATE "C" NOT NULL UNIQUE,
  email_verified_at bigint,
  full_name         text,
  role              text    NOT NULL CHECK (role IN ('user', 'admin')),
  is_active         integer NOT NULL CHECK (is_active IN (0, 1)),
  password_hash     text    NOT NULL,
  created_at        bigint NOT NULL,
  updated_at        bigint NOT NULL
);

CREATE INDEX users_admins ON users (id) WHERE role = 'admin';
