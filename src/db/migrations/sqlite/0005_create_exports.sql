CREATE TABLE exports (
  id            TEXT    NOT NULL PRIMARY KEY,
  rows_total    INTEGER NOT NULL,
  rows_written  INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL,
  chunks        INTEGER NOT NULL,
  last_user_id  TEXT    NOT NULL,
  created_at    INTEGER NOT NULL,
  finished_at   INTEGER,
  expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE export_chunks (
  export_id TEXT    NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
  seq       INTEGER NOT NULL,
  content   TEXT    NOT NULL,
  PRIMARY KEY (export_id, seq)
) STRICT;
