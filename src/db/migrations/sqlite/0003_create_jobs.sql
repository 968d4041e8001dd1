CREATE TABLE jobs (
  id          TEXT    NOT NULL PRIMARY KEY,
  kind        TEXT    NOT NULL,
  payload     TEXT    NOT NULL,
  dedup_key   TEXT,
  state       TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead')),
  attempts    INTEGER NOT NULL,
  run_at      INTEGER NOT NULL,
  claim       TEXT,
  last_error  TEXT,
  created_at  INTEGER NOT NULL,
  finished_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_due ON jobs (run_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_dedup ON jobs (dedup_key) WHERE dedup_key IS NOT NULL;
