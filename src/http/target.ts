import type { IncomingMessage } from 'node:http';

import { Failure } from '../core/errors.ts';

const MAX_TARGET = 8192;
const PLAIN_PATH = /^\/[\w.~/-]*$/;
const VISIBLE_ASCII = /^[\x21-\x7e]*$/;
const BAD_ESCAPE = /%(?![0-9a-f]{2})/i;
/** RFC 3986 §3.2.2 host and port, without user information. */
const AUTHORITY = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?$/i;

export interface Target {
  path: string;
  search: string | undefined;
  fault: Failure | undefined;
}

/** Path and query of a request (RFC 9112 §3.2: origin-form, absolute-form, `*`), and what is wrong with its head. */
export function parseTarget({ url, httpVersion, method }: IncomingMessage, host: string | undefined): Target {
  let fault: Failure | undefined;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    fault = new Failure('malformed_request', 'This server speaks HTTP/1.1 and HTTP/1.0.');
  } else if (host === undefined ? httpVersion === '1.1' : !AUTHORITY.test(host)) {
    fault = new Failure('invalid_host');
  }
  const target = url!;
  if (PLAIN_PATH.test(target) && target.length <= MAX_TARGET) return { path: target, search: undefined, fault };
  if (target === '*' && method === 'OPTIONS') return { path: '*', search: undefined, fault };
  const refused = (failure: Failure): Target => ({ path: '', search: undefined, fault: fault ?? failure });
  if (target.length > MAX_TARGET) return refused(new Failure('target_too_long'));
  if (!VISIBLE_ASCII.test(target) || target.includes('#')) {
    return refused(new Failure('malformed_request', 'The request target has characters that must be escaped.'));
  }
  const [, authority, local] = /^(?:https?:\/\/([^/?]*))?(\/.*|\?.*|)$/is.exec(target) ?? [];
  const isKnownForm = authority === undefined ? local?.startsWith('/') : AUTHORITY.test(authority);
  if (local === undefined || !isKnownForm) {
    return refused(new Failure('malformed_request', 'The request target must be a path.'));
  }
  const mark = local.indexOf('?');
  const path = (mark < 0 ? local : local.slice(0, mark)) || '/';
  if (BAD_ESCAPE.test(target) || !isUtf8Escaped(path)) {
    return refused(new Failure('malformed_request', 'The request target has a bad percent-encoding.'));
  }
  return { path, search: mark < 0 ? undefined : local.slice(mark + 1), fault };
}

function isUtf8Escaped(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
