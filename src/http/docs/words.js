import { isObject, nameOf } from './document.js';

export const typesOf = (schema) => [schema.type ?? (schema.properties ? 'object' : [])].flat();
export const isNullable = (schema) => typesOf(schema).includes('null');

/** The type in words: "string or null", "list of User". */
export function typeInWords(schema) {
  const words = typesOf(schema).map((type) => {
    if (type === 'array') return `list of ${isObject(schema.items) ? typeInWords(schema.items) : 'anything'}`;
    if (type === 'integer') return 'whole number';
    return (type === 'object' && nameOf(schema)) || type;
  });
  return words.join(' or ') || 'anything';
}

const FORMATS = { email: 'an e-mail address', uuid: 'a UUID', 'date-time': 'a date and time', uri: 'a URI' };

function range(least, most, unit = '') {
  if (least === undefined && most === undefined) return undefined;
  if (least === undefined) return `at most ${most}${unit}`;
  return most === undefined ? `at least ${least}${unit}` : `${least} to ${most}${unit}`;
}

const tellsItself = ({ format, pattern, description }) => FORMATS[format] || (description && pattern.length > 40);

/** What a value must obey beyond its type, a phrase a rule: "1 to 200 characters", "one of user, admin". */
export function rulesInWords(schema) {
  const show = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  return [
    schema.const !== undefined && `always ${show(schema.const)}`,
    Array.isArray(schema.enum) && `one of ${schema.enum.map(show).join(', ')}`,
    FORMATS[schema.format],
    range(schema.minLength, schema.maxLength, ' characters'),
    range(undefined, schema['x-maxBytes'], ' bytes'),
    range(schema.minimum, schema.maximum),
    range(schema.minItems, schema.maxItems, ' entries'),
    schema.pattern !== undefined && !tellsItself(schema) && `matches ${schema.pattern}`,
    schema.default !== undefined && `${show(schema.default)} unless given`,
  ].filter(Boolean);
}

const SAMPLES = {
  email: 'ada@example.com',
  uuid: '01980f3c-7b6e-7d55-a3c0-0123456789ab',
  'date-time': '2026-01-31T12:00:00Z',
};

/** What the schema itself offers as an example, or undefined. */
export function exampleOf(schema) {
  const [given = schema.example ?? schema.const ?? schema.default ?? schema.enum?.[0]] = schema.examples ?? [];
  return given ?? SAMPLES[schema.format];
}

/** A value of that shape, for show. */
export function sample(schema, depth = 0) {
  const given = exampleOf(schema);
  if (given !== undefined) return given;
  const [type] = typesOf(schema);
  if (type === 'object') {
    if (depth > 5) return {};
    const entries = Object.entries(schema.properties ?? {});
    return Object.fromEntries(entries.map(([name, property]) => [name, sample(property, depth + 1)]));
  }
  if (type === 'array') return isObject(schema.items) && depth <= 5 ? [sample(schema.items, depth + 1)] : [];
  if (type === 'integer' || type === 'number') return schema.minimum ?? 0;
  return type === 'boolean' ? true : isNullable(schema) ? null : '…';
}
