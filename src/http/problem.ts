import { challengeOf, Failure } from '../core/errors.ts';
import { STATUS_CODES } from './node_http.ts';

/** An `application/problem+json` answer (RFC 9457). */
export interface Problem {
  status: number;
  headers: string[];
  body: string;
}

export const PROBLEM_TYPE = 'application/problem+json';

/** Anything thrown, as a `Failure`: what is not one is our fault and says nothing about itself. */
export function toFailure(thrown: unknown): Failure {
  return thrown instanceof Failure ? thrown : new Failure('internal', undefined, { cause: thrown });
}

export function toProblem(failure: Failure, requestId: string): Problem {
  const { code, status, message, details } = failure;
  const headers: string[] = [];
  const challenge = challengeOf(code);
  if (challenge !== undefined) headers.push('WWW-Authenticate', challenge);
  if (details.retryAfter !== undefined) headers.push('Retry-After', String(details.retryAfter));
  if (details.allow !== undefined) headers.push('Allow', details.allow);
  const body = JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    detail: message,
    code,
    request_id: requestId,
    ...(details.errors === undefined ? {} : { errors: details.errors }),
    ...(details.parts === undefined ? {} : { parts: details.parts }),
  });
  return { status, headers, body };
}
