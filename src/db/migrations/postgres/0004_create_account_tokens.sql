CREATE TABLE account_tokens (
  token_hash text   NOT NULL PRIMARY KEY,
  user_id    text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  purpose    text   NOT NULL CHECK (purpose IN ('password_reset', 'email_verification')),
  expires_at bigint NOT NULL
);

CREATE INDEX account_tokens_user ON account_tokens (user_id);
CREATE INDEX account_tokens_expiry ON account_tokens (expires_at);
