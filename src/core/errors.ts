/**
 * Every way a request can be refused: the stable `code` a program sees, its HTTP status, and what a person reads
 * when the place that refuses says nothing better. `challenge` is the `error` attribute of the `WWW-Authenticate`
 * that goes with it (RFC 6750 §3.1).
 */
const table = {
  malformed_request: { status: 400, detail: 'The request is malformed.' },
  invalid_host: { status: 400, detail: 'Exactly one valid Host header is needed.' },
  duplicate_header: { status: 400, detail: 'A header that may appear once appears more than once.' },
  invalid_json: { status: 400, detail: 'The body is not valid JSON in UTF-8.' },
  invalid_parameter: { status: 400, detail: 'A path or query parameter is not acceptable.' },
  invalid_cursor: { status: 400, detail: 'The cursor is not one that this listing gave out.' },
  not_authenticated: { status: 401, detail: 'This needs an access token: Authorization: Bearer <access_token>.' },
  invalid_credentials: { status: 401, detail: 'The e-mail address or the password is wrong.' },
  invalid_token: { status: 401, detail: 'The token is malformed, expired or revoked.', challenge: 'invalid_token' },
  token_reused: {
    status: 401,
    detail: 'This refresh token was used before; its session has been ended.',
    challenge: 'invalid_token',
  },
  forbidden: { status: 403, detail: 'Your role does not allow this.', challenge: 'insufficient_scope' },
  account_disabled: { status: 403, detail: 'This account has been disabled.', challenge: 'insufficient_scope' },
  email_unverified: {
    status: 403,
    detail: 'Confirm your e-mail address first: a mail tells how.',
    challenge: 'insufficient_scope',
  },
  not_found: { status: 404, detail: 'There is nothing here.' },
  method_not_allowed: { status: 405, detail: 'This path does not answer that method; Allow lists those it does.' },
  request_timeout: { status: 408, detail: 'The request took too long to arrive.' },
  email_taken: { status: 409, detail: 'There is an account with this e-mail address already.' },
  export_unfinished: { status: 409, detail: 'This export is not finished.' },
  last_admin: { status: 409, detail: 'This would leave no active administrator.' },
  body_too_large: { status: 413, detail: 'The body is larger than this server accepts.' },
  target_too_long: { status: 414, detail: 'The request target is longer than this server accepts.' },
  unsupported_media_type: {
    status: 415,
    detail: 'The body must be application/json in UTF-8, without Content-Encoding.',
  },
  validation_failed: { status: 422, detail: 'The body does not have the expected shape.' },
  rate_limited: { status: 429, detail: 'Too many requests; Retry-After says when to try again.' },
  headers_too_large: { status: 431, detail: 'The request headers are larger than this server accepts.' },
  internal: { status: 500, detail: 'Something went wrong on our side; request_id finds it in the log.' },
  unavailable: { status: 503, detail: 'Something this needs is away for the moment; try again shortly.' },
  overloaded: { status: 503, detail: 'Too many passwords are being checked just now; try again shortly.' },
  mail_unavailable: { status: 503, detail: 'This server is not set up to send mail.' },
} as const satisfies Record<string, { status: number; detail: string; challenge?: string }>;

export type Code = keyof typeof table;
export const codes = Object.keys(table) as Code[];

export const statusOf = (code: Code): number => table[code].status;

/** The value of `WWW-Authenticate` (RFC 6750 §3), which every 401 and every 403 has; undefined for all others. */
export function challengeOf(code: Code): string | undefined {
  const entry: { status: number; challenge?: string } = table[code];
  if (entry.challenge !== undefined) return `Bearer realm="api", error="${entry.challenge}"`;
  return entry.status === 401 ? 'Bearer realm="api"' : undefined;
}

/** One wrong field of a body: a JSON Pointer (RFC 6901) and a sentence. */
export interface Fault {
  pointer: string;
  detail: string;
}

export interface FailureDetails {
  /** Why, for the log only. */
  cause?: unknown;
  /** Whole seconds, at least 1. */
  retryAfter?: number;
  /** For 422. */
  errors?: Fault[];
  /** For 405. */
  allow?: string;
  /** For `/readyz`: what each part of the server says of itself. */
  parts?: Readonly<Record<string, string>>;
}

/** A refusal: a message that anyone may see, and a cause that only the log sees. Thrown to end a request. */
export class Failure extends Error {
  readonly code: Code;
  readonly details: FailureDetails;

  constructor(code: Code, detail: string = table[code].detail, details: FailureDetails = {}) {
    super(detail, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Failure';
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return table[this.code].status;
  }
}

/** What this needs is away and will be back within moments. */
export const unavailable = (cause?: unknown): Failure =>
  new Failure('unavailable', undefined, { cause, retryAfter: 1 });

/**
 * The message of the innermost cause, or its code where it has no message: an AggregateError, when all addresses of
 * one name failed.
 */
export function rootOf(error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException;
  return cause instanceof Error ? rootOf(cause) : message || String(code);
}
