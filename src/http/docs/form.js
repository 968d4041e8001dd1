import { check } from './check.js';
import { isObject } from './document.js';
import { h } from './dom.js';
import { createField } from './field.js';

const group = (title, beside, content) =>
  h('div', { role: 'group', 'aria-label': title }, h('div.field-head', h('h4', title), beside), content);

/**
 * The form of an operation: a field for each parameter and each property of the body, or the body as JSON.
 * `read` gives `{values, body, faults}`, the first two as `requestOf` wants them; `changed` is called after every edit,
 * `submitted` when Send finds no fault.
 */
export function createForm(operation, { changed, submitted }) {
  const { body: schema, parameters } = operation;
  const prefix = `try-${operation.id}`;
  const make = (name, item, required) =>
    createField({ id: `${prefix}-${name}`, name, schema: item, required, changed: edited });
  const params = parameters.map((parameter) => make(parameter.name, parameter.schema, parameter.required));
  const fields = Object.entries(schema?.properties ?? {}).map(([name, item]) =>
    make(name, item, (schema.required ?? []).includes(name)),
  );
  const raw = h('textarea', { rows: '8', spellcheck: 'false', oninput: () => edited(), onkeydown: sendOnEnter });
  const advice = h('p.hint', { role: 'status' });
  const asFields = h('div', fields.map((field) => field.element));
  const asJson = h('div.field', { hidden: true }, h('label', 'Body as JSON', raw), advice);
  const jsonSwitch = h('input', { type: 'checkbox', role: 'switch', onchange: toggleJson });
  const sendButton = h('button.primary', { type: 'submit' }, 'Send');
  const element = h(
    'form.try-form',
    { novalidate: true, onsubmit: submit, 'aria-label': `Try ${operation.summary}` },
    params.length > 0 && group('Parameters', [], params.map((field) => field.element)),
    schema && group('Body', h('label.check', jsonSwitch, 'as JSON'), [asFields, asJson]),
    sendButton,
  );
  const isJson = () => jsonSwitch.checked;
  if (schema && fields.length === 0) {
    jsonSwitch.checked = true;
    toggleJson();
  }

  const valuesOf = (some) => some.map((field) => [field.name, field.read()]).filter(([, value]) => value !== undefined);

  function read() {
    const values = new Map(valuesOf(params));
    const faults = params.flatMap((field) => faultsOf(field, field.read()));
    if (schema === undefined) return { values, body: undefined, faults };
    if (isJson()) return { values, body: raw.value, faults };
    const body = Object.fromEntries(valuesOf(fields));
    const own = check(schema, body).map(({ pointer, detail }) => ({ field: fieldAt(pointer), detail }));
    return { values, body: JSON.stringify(body), faults: [...faults, ...own] };
  }

  const faultsOf = (field, value) => {
    if (value === undefined) return field.required ? [{ field, detail: 'is missing' }] : [];
    return check(field.schema, value).map(({ detail }) => ({ field, detail }));
  };
  const fieldAt = (pointer) => fields.find((field) => pointer.split('/')[1] === field.name);

  /** A fault, once shown, goes as soon as it is mended; new ones wait for Send. */
  function edited(field) {
    if (field?.isWrong()) field.show(read().faults.find((fault) => fault.field === field)?.detail);
    if (isJson()) advise();
    changed();
  }

  function advise() {
    let faults;
    try {
      faults = check(schema, JSON.parse(raw.value));
    } catch {
      faults = [{ pointer: '', detail: 'is not JSON' }];
    }
    asJson.classList.toggle('wrong', faults.length > 0);
    const words = faults.map(({ pointer, detail }) => `${pointer.slice(1) || 'This'} ${detail}`).join('; ');
    advice.textContent = words && `The server will refuse it: ${words}.`;
  }

  function toggleJson() {
    if (isJson()) raw.value = JSON.stringify(Object.fromEntries(valuesOf(fields)), null, 2);
    else if (!fillFields()) {
      jsonSwitch.checked = true;
      asJson.classList.add('wrong');
      advice.textContent = 'This body does not fit the fields: an unknown name, another type, or no JSON object.';
      return;
    }
    asFields.hidden = isJson();
    asJson.hidden = !isJson();
    edited();
  }

  function fillFields() {
    try {
      const value = JSON.parse(raw.value);
      const known = new Set(fields.map((field) => field.name));
      if (!isObject(value) || Object.keys(value).some((name) => !known.has(name))) return false;
      return fields.map((field) => field.write(value[field.name])).every(Boolean);
    } catch {
      return false;
    }
  }

  function sendOnEnter(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) element.requestSubmit();
  }

  function submit(event) {
    event.preventDefault();
    if (sendButton.getAttribute('aria-disabled') === 'true') return;
    const { values, body, faults } = read();
    for (const field of [...params, ...(isJson() ? [] : fields)]) {
      field.show(faults.find((fault) => fault.field === field)?.detail);
    }
    if (faults.length > 0) faults[0].field?.focus();
    else submitted({ values, body });
  }

  return {
    element,
    read,
    focus: () => (params[0] ?? fields[0] ?? { focus: () => sendButton.focus() }).focus(),
    sending: (busy) => sendButton.setAttribute('aria-disabled', String(busy)),
    /** Puts a value where none is, or where `before` is. */
    suggest(name, value, before) {
      const field = fields.find((one) => one.name === name);
      if (field && [undefined, before].includes(field.read())) field.write(value || undefined);
    },
    /** The faults of a 422, each at its field. */
    showRefused(errors) {
      for (const { pointer, detail } of errors) fieldAt(pointer)?.show(detail);
    },
  };
}
