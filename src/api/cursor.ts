import { Failure } from '../core/errors.ts';
import { isUuidv7 } from '../core/uuid.ts';

/** A cursor is the id of the last item of a page, in another coat so that nobody builds one by hand. */
export const cursorOf = (id: string): string => Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url');

/** The id behind a cursor; Failure for what no listing can have given out. */
export function idOf(cursor: string): string {
  const bytes = Buffer.from(cursor, 'base64url');
  const id = bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  if (bytes.toString('base64url') !== cursor || !isUuidv7(id)) throw new Failure('invalid_cursor');
  return id;
}
