import type { Fault } from '../core/errors.ts';

declare const type: unique symbol;

/** A JSON Schema (draft 2020-12) that knows the TypeScript type of what it accepts. Strict: see `check`. */
export interface Schema<T> {
  readonly [keyword: string]: unknown;
  readonly [type]?: T;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

/** A property that may be left out. */
export interface Optional<T> {
  readonly optional: Schema<T>;
}

type Properties = Readonly<Record<string, Schema<unknown> | Optional<unknown>>>;
type Simplify<T> = { [K in keyof T]: T[K] };
export type ObjectOf<P extends Properties> = Simplify<
  { [K in keyof P as P[K] extends Optional<unknown> ? never : K]: Infer<P[K]> } & {
    [K in keyof P as P[K] extends Optional<unknown> ? K : never]?: P[K] extends Optional<infer T> ? T : never;
  }
>;

export interface StringRules {
  /** Code points. */
  minLength?: number;
  /** Code points. */
  maxLength?: number;
  /** Bytes of UTF-8. */
  'x-maxBytes'?: number;
  pattern?: string;
  format?: 'email' | 'uuid' | 'date-time' | 'uri' | 'password';
  description?: string;
  examples?: readonly string[];
}

export const string = (rules: StringRules = {}): Schema<string> => ({ type: 'string', ...rules });

export const integer = (
  rules: { minimum?: number; maximum?: number; default?: number; description?: string; examples?: number[] } = {},
): Schema<number> => ({ type: 'integer', ...rules });

export const boolean = (rules: { description?: string } = {}): Schema<boolean> => ({ type: 'boolean', ...rules });

export const oneOf = <const T extends string>(
  values: readonly T[],
  rules: { description?: string; examples?: readonly T[] } = {},
): Schema<T> => ({ type: 'string', enum: values, ...rules });

export const nullable = <T>(schema: Schema<T>): Schema<T | null> => ({ ...schema, type: [schema['type'], 'null'] });

export const array = <T>(items: Schema<T>, rules: { maxItems?: number; description?: string } = {}): Schema<T[]> => ({
  type: 'array',
  items,
  ...rules,
});

export const optional = <T>(schema: Schema<T>): Optional<T> => ({ optional: schema });

/** The same properties, each of which may be left out. */
export const partial = <P extends Readonly<Record<string, Schema<unknown>>>>(properties: P) =>
  Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, optional(schema)])) as {
    [K in keyof P]: Optional<Infer<P[K]>>;
  };

const isOptional = (schema: Schema<unknown> | Optional<unknown>): schema is Optional<unknown> =>
  typeof schema['optional'] === 'object';

/** An object of exactly these properties. A `title` makes it a named component of the OpenAPI document. */
export function object<const P extends Properties>(
  properties: P,
  rules: { title?: string; description?: string } = {},
): Schema<ObjectOf<P>> {
  const entries = Object.entries(properties);
  const required = entries.filter(([, schema]) => !isOptional(schema)).map(([name]) => name);
  return {
    type: 'object',
    ...rules,
    properties: Object.fromEntries(entries.map(([name, s]) => [name, isOptional(s) ? s.optional : s])),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
}

/** An object of any properties, all with values of this schema. */
export const record = <T>(values: Schema<T>, rules: { description?: string } = {}): Schema<Record<string, T>> => ({
  type: 'object',
  ...rules,
  additionalProperties: values,
});

/** The properties of an object schema, by name. */
export const propertiesOf = (schema: Schema<unknown>): Readonly<Record<string, Schema<unknown>>> =>
  (schema['properties'] ?? {}) as Record<string, Schema<unknown>>;

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const FORMATS: Readonly<Record<string, RegExp>> = {
  uuid: UUID,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
};
const patterns = new Map<string, RegExp>();

function compiled(pattern: string): RegExp {
  let regex = patterns.get(pattern);
  if (regex === undefined) patterns.set(pattern, (regex = new RegExp(pattern, 'u')));
  return regex;
}

/**
 * Everything that is wrong with a value, one fault a place; empty when it fits. Nothing is coerced, unknown properties
 * are faults, and NUL and lone surrogates are refused in every string, since not every store can keep them.
 */
export function check(schema: Schema<unknown>, value: unknown): Fault[] {
  const faults: Fault[] = [];
  visit(schema, value, '', faults);
  return faults;
}

function visit(schema: Schema<unknown>, value: unknown, pointer: string, faults: Fault[]): void {
  const fault = (detail: string): void => void faults.push({ pointer, detail });
  const types = [schema['type']].flat() as string[];
  const kind = typeOf(value);
  if (!types.includes(kind) && !(kind === 'integer' && types.includes('number'))) {
    return fault(`must be ${types.map((name) => ARTICLES[name]).join(' or ')}, not ${ARTICLES[kind]}`);
  }
  if (kind === 'string') visitString(schema as StringRules & { enum?: string[] }, value as string, fault);
  if (kind === 'integer' || kind === 'number') {
    const { minimum = -Infinity, maximum = Infinity } = schema as { minimum?: number; maximum?: number };
    if ((value as number) < minimum) fault(`must be at least ${minimum}`);
    if ((value as number) > maximum) fault(`must be at most ${maximum}`);
  }
  if (kind === 'array') {
    const items = schema['items'] as Schema<unknown>;
    (value as unknown[]).forEach((item, i) => visit(items, item, `${pointer}/${i}`, faults));
  }
  if (kind === 'object') visitObject(schema, value as Record<string, unknown>, pointer, faults);
}

function visitObject(
  schema: Schema<unknown>,
  value: Record<string, unknown>,
  pointer: string,
  faults: Fault[],
): void {
  const properties = propertiesOf(schema);
  for (const name of (schema['required'] as string[] | undefined) ?? []) {
    if (!Object.hasOwn(value, name)) faults.push({ pointer: `${pointer}/${name}`, detail: 'is missing' });
  }
  for (const [name, item] of Object.entries(value)) {
    const at = `${pointer}/${name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const rest = schema['additionalProperties'];
    if (Object.hasOwn(properties, name)) visit(properties[name]!, item, at, faults);
    else if (typeof rest === 'object') visit(rest as Schema<unknown>, item, at, faults);
    else if (faults.length < MAX_FAULTS) faults.push({ pointer: legible(at), detail: 'is not a known field' });
  }
}

const MAX_FAULTS = 50;

/** What no string may hold, as U+FFFD. */
const legible = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd');

function visitString(rules: StringRules & { enum?: string[] }, value: string, fault: (detail: string) => void): void {
  if (value.includes('\0')) return fault('must not contain NUL');
  if (!value.isWellFormed()) return fault('must not contain lone surrogates');
  if (rules.enum !== undefined && !rules.enum.includes(value)) return fault(`must be one of ${rules.enum.join(', ')}`);
  const { minLength = 0, maxLength = Infinity, 'x-maxBytes': maxBytes = Infinity } = rules;
  // Code points are counted only where the number of UTF-16 units leaves it open.
  const length = value.length <= maxLength && value.length >= 2 * minLength ? value.length : [...value].length;
  if (length < minLength) return fault(minLength === 1 ? 'must not be empty' : `needs ${minLength} characters or more`);
  if (length > maxLength) return fault(`must have at most ${maxLength} characters`);
  if (Buffer.byteLength(value) > maxBytes) return fault(`must have at most ${maxBytes} bytes`);
  const form = rules.pattern === undefined ? FORMATS[rules.format ?? ''] : compiled(rules.pattern);
  if (form !== undefined && !form.test(value)) fault(WORDS[rules.format ?? ''] ?? `must match ${rules.pattern}`);
}

const WORDS: Readonly<Record<string, string>> = {
  email: 'must be an e-mail address such as ada@example.com',
  uuid: 'must be a UUID',
  'date-time': 'must be a date and time such as 2026-01-31T12:00:00Z',
};

const ARTICLES: Readonly<Record<string, string>> = {
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'a boolean',
  array: 'an array',
  object: 'an object',
  null: 'null',
};

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}
