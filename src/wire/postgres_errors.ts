/**
 * The server refused a statement; the connection lives on. Only what cannot hold a row's content is kept of its
 * answer: DETAIL would quote whole rows. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export class PostgresError extends Error {
  readonly sqlstate: string;
  /** The name of the violated constraint, where one was. */
  readonly constraint: string | undefined;
  /** The refused statement's text, where it is known; parameters stand apart from it. */
  sql: string | undefined;
  /** The statement had been parsed before the schema changed under it; on a new connection it may well succeed. */
  stale = false;

  constructor(message: string, { sqlstate, constraint }: { sqlstate: string; constraint?: string | undefined }) {
    super(`${message} (SQLSTATE ${sqlstate})`);
    this.name = 'PostgresError';
    this.sqlstate = sqlstate;
    this.constraint = constraint;
  }
}

/** No connection was to be had: nothing was sent. */
export class NoConnection extends Error {
  override readonly name = 'NoConnection';
}

/** A connection broke or fell silent in use: whether the server did what it was asked is not known. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
  /** Older connections to the same server are likely to be in the same state. */
  readonly contagious: boolean;

  constructor(message: string, { cause, contagious = false }: { cause?: unknown; contagious?: boolean } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.contagious = contagious;
  }
}

/** What the server offers or asks for is not what DATABASE_URL says: waiting does not help. */
export class Disagreement extends Error {
  override readonly name = 'Disagreement';
}
