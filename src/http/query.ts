import { Failure } from '../core/errors.ts';
import { check, propertiesOf, UUID } from './schema.ts';
import type { Schema } from './schema.ts';

const invalid = (detail: string): Failure => new Failure('invalid_parameter', detail);

/** Path parameters, decoded and in lower case: all of them are UUIDs. */
export function parseParams(params: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  let decoded = params;
  for (const [name, value] of Object.entries(params)) {
    if (!UUID.test(value)) throw invalid(`The ${name} in the path must be a UUID.`);
    if (decoded === params) decoded = { ...params };
    (decoded as Record<string, string>)[name] = value.toLowerCase();
  }
  return decoded;
}

/** The query by its schema; without one, no parameter is known. Unknown, repeated and empty ones are refused. */
export function parseQuery(search: string | undefined, schema: Schema<unknown> | undefined): unknown {
  if (search === undefined || search === '') return schema === undefined ? undefined : {};
  const properties = schema === undefined ? {} : propertiesOf(schema);
  const values: Record<string, unknown> = {};
  for (const pair of search.split('&')) {
    const at = pair.indexOf('=');
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    const text = at < 0 ? '' : decode(pair.slice(at + 1));
    if (!Object.hasOwn(properties, name)) throw invalid(`There is no query parameter "${name.slice(0, 64)}" here.`);
    if (Object.hasOwn(values, name)) throw invalid(`The query parameter "${name}" is repeated.`);
    if (text === '') throw invalid(`The query parameter "${name}" is empty.`);
    const isNumber = properties[name]!['type'] === 'integer' && /^-?\d{1,15}$/.test(text);
    values[name] = isNumber ? Number(text) : text;
  }
  const [fault] = schema === undefined ? [] : check(schema, values);
  if (fault !== undefined) throw invalid(`The query parameter "${fault.pointer.slice(1)}" ${fault.detail}.`);
  return values;
}

/** `application/x-www-form-urlencoded` (WHATWG URL §5.1), with bad escapes refused rather than kept. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new Failure('malformed_request', 'The query has a bad percent-encoding.');
  }
}
