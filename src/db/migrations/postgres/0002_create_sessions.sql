CREATE TABLE sessions (
  id           text COLLATE "C" NOT NULL PRIMARY KEY,
  user_id      text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  created_at   bigint NOT NULL,
  last_used_at bigint NOT NULL,
  expires_at   bigint NOT NULL,
  ip           text    NOT NULL,
  user_agent   text,
  refresh_jti  text    NOT NULL,
  previous_jti text,
  rotated_at   bigint NOT NULL
);

CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
