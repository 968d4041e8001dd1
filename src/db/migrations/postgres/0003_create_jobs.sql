CREATE TABLE jobs (
  id          text COLLATE "C" NOT NULL PRIMARY KEY,
  kind        text    NOT NULL,
  payload     text    NOT NULL,
  dedup_key   text,
  state       text    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead')),
  attempts    integer NOT NULL,
  run_at      bigint  NOT NULL,
  claim       text,
  last_error  text,
  created_at  bigint  NOT NULL,
  finished_at bigint
);

CREATE INDEX jobs_due ON jobs (run_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_dedup ON jobs (dedup_key) WHERE dedup_key IS NOT NULL;
