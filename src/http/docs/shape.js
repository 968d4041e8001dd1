import { isObject, nameOf } from './document.js';
import { fold, h, inline, jsonBlock } from './dom.js';
import { rulesInWords, sample, typeInWords, typesOf } from './words.js';

const schemaLink = (schema) => h('a', { href: `#schema-${nameOf(schema)}` }, nameOf(schema));

/** A type in words, with a link where it has a name. */
export function typeView(schema) {
  const item = typesOf(schema)[0] === 'array' && isObject(schema.items) ? schema.items : undefined;
  if (item !== undefined && nameOf(item)) return ['list of ', schemaLink(item)];
  return nameOf(schema) ? schemaLink(schema) : typeInWords(schema);
}

/** One named value: its type, whether it is needed, its rules in words, what it means. */
export function valueView(name, schema, required, depth = 0) {
  const rules = rulesInWords(schema);
  const inner = isObject(schema.items) ? schema.items : schema;
  return h(
    'li',
    {},
    h('code.name', name),
    h('span.soft', typeView(schema)),
    required && h('span.must', 'required'),
    rules.length > 0 && h('span.rules', rules.join(', ')),
    schema.description && h('p', inline(schema.description)),
    inner.properties && !nameOf(inner) && depth < 4 && propertiesView(inner, depth + 1),
  );
}

/** The properties of an object, or the one value that it is. */
export function propertiesView(schema, depth = 0) {
  const inner = typesOf(schema)[0] === 'array' && isObject(schema.items) ? schema.items : schema;
  const properties = Object.entries(inner.properties ?? {});
  const required = inner.required ?? [];
  if (properties.length === 0) return h('p.soft', [typeInWords(schema), ...rulesInWords(schema)].join(', '));
  return h('ul.shape', properties.map(([name, item]) => valueView(name, item, required.includes(name), depth)));
}

export const exampleView = (schema) => fold('Example', () => jsonBlock(sample(schema)));
