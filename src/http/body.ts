import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';

import { Failure } from '../core/errors.ts';

/** The bytes of a body, at most `limit` of them: one more ends the reading. */
export function readBody(req: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Neither a request without a body nor one whose client has gone emits anything any more.
    if (req.readableEnded) return resolve(Buffer.alloc(0));
    if (req.destroyed) return reject(new Failure('malformed_request', 'The body did not arrive whole.'));
    const chunks: Buffer[] = [];
    let length = 0;
    const stop = (failure: Failure): void => {
      req.removeAllListeners('data');
      req.removeAllListeners('end');
      reject(failure);
    };
    req.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) return stop(new Failure('body_too_large', `The body may have at most ${limit} bytes.`));
      chunks.push(chunk);
    });
    req.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    req.on('error', (cause) => stop(new Failure('malformed_request', 'The body did not arrive whole.', { cause })));
  });
}

/** RFC 8259 JSON in UTF-8. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new Failure('invalid_json', 'The body is not valid UTF-8.');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new Failure('invalid_json', undefined, { cause });
  }
}

/** Refuses a body that is not `application/json` in UTF-8, or encoded in any way; other parameters mean nothing. */
export function checkMediaType(contentType: string | undefined, contentEncoding: string | undefined): void {
  const accepted =
    /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*|;(?![ \t]*charset[ \t]*=)[^;,]*)*$/i;
  if (contentEncoding !== undefined || contentType === undefined || !accepted.test(contentType)) {
    throw new Failure('unsupported_media_type');
  }
}
