import { h } from './dom.js';
import { exampleOf, isNullable, rulesInWords, typeInWords, typesOf } from './words.js';

/** How a value is typed in: `text` shows it, `read` is what the text means. */
const TEXT = { read: (text) => text, text: (value) => (typeof value === 'string' ? value : undefined) };
const CHOICE = {
  read: (text) => JSON.parse(text),
  text: (value) => JSON.stringify(value),
};
const NUMBER = {
  read: (text) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text),
  text: (value) => (typeof value === 'number' ? String(value) : undefined),
};
const RAW = {
  read(text) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  },
  text: (value) => JSON.stringify(value, null, 2),
};

function manner(schema) {
  const types = typesOf(schema).filter((type) => type !== 'null');
  if (Array.isArray(schema.enum) || types[0] === 'boolean') return CHOICE;
  if (types[0] === 'integer' || types[0] === 'number') return NUMBER;
  return types[0] === 'string' ? TEXT : RAW;
}

function createControl(way, name, schema, required, attributes) {
  if (way === CHOICE) {
    const values = schema.enum ?? [true, false];
    const options = values.map((value) => h('option', { value: JSON.stringify(value) }, String(value)));
    return h('select', attributes, required ? [] : h('option', { value: '' }, '(not sent)'), options);
  }
  const isSecret = schema.format === 'password' || (!schema.format && /password/.test(name));
  const common = { ...attributes, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' };
  if (way === RAW) return h('textarea', { ...common, rows: '3' });
  const inputmode = way === NUMBER ? 'numeric' : schema.format === 'email' ? 'email' : undefined;
  return h('input', { ...common, inputmode, type: isSecret ? 'password' : 'text' });
}

/**
 * One value to fill in. An empty control is a value not sent; `read` gives undefined then. `write` gives false when
 * the control cannot hold the value. `show` puts a fault in the place of the hint, or the hint back.
 */
export function createField({ id, name, schema, required, changed }) {
  const way = manner(schema);
  const example = exampleOf(schema);
  const words = rulesInWords(schema);
  if (way === NUMBER || way === RAW) words.unshift(typeInWords(schema));
  if (way === TEXT && !required && example !== undefined) words.push(`such as ${example}`);
  const hintText = words.join(', ') || (schema.description ?? '').replaceAll('`', '');
  const hint = h('p.hint', { id: `${id}-hint` }, hintText);
  const control = createControl(way, name, schema, required, {
    id,
    name,
    'aria-describedby': hint.id,
    'aria-required': String(required),
    oninput: () => changed(field),
    onchange: () => changed(field),
  });
  const isNull = h('input', { type: 'checkbox', onchange: toggleNull });
  const element = h(
    'div.field',
    h('div.field-head', h('label', { for: id }, name), required && h('span.must', 'required'),
      isNullable(schema) && h('label.check', isNull, 'null')),
    control,
    hint,
  );

  function toggleNull() {
    control.disabled = isNull.checked;
    changed(field);
  }

  const field = {
    element,
    name,
    schema,
    required,
    read() {
      if (isNull.checked) return null;
      return control.value === '' ? undefined : way.read(control.value);
    },
    write(value) {
      isNull.checked = value === null && isNullable(schema);
      control.disabled = isNull.checked;
      if (isNull.checked) return true;
      const text = value === undefined ? '' : way.text(value);
      if (text === undefined) return false;
      control.value = text;
      return way === CHOICE ? control.value === text : way === RAW || !/[\r\n]/.test(text);
    },
    show(fault) {
      element.classList.toggle('wrong', fault !== undefined);
      control.setAttribute('aria-invalid', String(fault !== undefined));
      hint.textContent = fault ?? hintText;
    },
    isWrong: () => element.classList.contains('wrong'),
    focus: () => control.focus(),
  };
  if (required && example !== undefined) field.write(example);
  return field;
}
