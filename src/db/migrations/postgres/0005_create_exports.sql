CREATE TABLE exports (
  id            text COLLATE "C" NOT NULL PRIMARY KEY,
  rows_total    integer NOT NULL,
  rows_written  integer NOT NULL,
  bytes_written bigint  NOT NULL,
  chunks        integer NOT NULL,
  last_user_id  text    NOT NULL,
  created_at    bigint  NOT NULL,
  finished_at   bigint,
  expires_at    bigint  NOT NULL
);

CREATE TABLE export_chunks (
  export_id text COLLATE "C" NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
  seq       integer NOT NULL,
  content   text    NOT NULL,
  PRIMARY KEY (export_id, seq)
);
