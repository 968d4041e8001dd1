import { typesOf } from './words.js';

const FORMS = {
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
};
const SHAPES = {
  email: 'must be an e-mail address such as ada@example.com',
  uuid: 'must be a UUID',
  'date-time': 'must be a date and time such as 2026-01-31T12:00:00Z',
};
const ARTICLES = {
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'a boolean',
  array: 'an array',
  object: 'an object',
  null: 'null',
};

/** What is wrong with a value, as `{pointer, detail}` a place: what the server's own check would answer. */
export function check(schema, value, pointer = '') {
  const types = typesOf(schema);
  const kind = typeOfValue(value);
  if (types.length > 0 && !types.includes(kind) && !(kind === 'integer' && types.includes('number'))) {
    const expected = types.map((type) => ARTICLES[type] ?? type).join(' or ');
    return [{ pointer, detail: `must be ${expected}, not ${ARTICLES[kind]}` }];
  }
  if (kind === 'object') return checkObject(schema, value, pointer);
  if (kind === 'array') return value.flatMap((item, i) => check(schema.items ?? {}, item, `${pointer}/${i}`));
  const detail = kind === 'string' ? faultInString(schema, value) : faultInNumber(schema, value, kind);
  return detail === undefined ? [] : [{ pointer, detail }];
}

function checkObject(schema, value, pointer) {
  const properties = schema.properties ?? {};
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name));
  return [
    ...missing.map((name) => ({ pointer: `${pointer}/${name}`, detail: 'is missing' })),
    ...Object.entries(value).flatMap(([name, item]) => {
      const at = `${pointer}/${name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`;
      if (Object.hasOwn(properties, name)) return check(properties[name], item, at);
      return schema.additionalProperties === false ? [{ pointer: at, detail: 'is not a known field' }] : [];
    }),
  ];
}

function faultInString(rules, value) {
  if (value.includes('\0')) return 'must not contain NUL';
  if (/\p{Surrogate}/u.test(value)) return 'must not contain lone surrogates';
  if (rules.enum && !rules.enum.includes(value)) return `must be one of ${rules.enum.join(', ')}`;
  const { minLength = 0, maxLength = Infinity, 'x-maxBytes': maxBytes = Infinity } = rules;
  const length = [...value].length;
  if (length < minLength) return minLength === 1 ? 'must not be empty' : `needs ${minLength} characters or more`;
  if (length > maxLength) return `must have at most ${maxLength} characters`;
  if (new TextEncoder().encode(value).length > maxBytes) return `must have at most ${maxBytes} bytes`;
  const form = rules.pattern === undefined ? FORMS[rules.format] : new RegExp(rules.pattern, 'u');
  return form === undefined || form.test(value) ? undefined : SHAPES[rules.format] ?? `must match ${rules.pattern}`;
}

function faultInNumber({ minimum = -Infinity, maximum = Infinity }, value, kind) {
  if (kind !== 'integer' && kind !== 'number') return undefined;
  if (value < minimum) return `must be at least ${minimum}`;
  return value > maximum ? `must be at most ${maximum}` : undefined;
}

function typeOfValue(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}
