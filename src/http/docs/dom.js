/**
 * An element, `tag.class.class`. Its parts are children (nodes and texts), objects of attributes (`true` is an empty
 * one, `on…` are listeners), lists of parts, or nothing. A text never becomes markup.
 */
export function h(name, ...parts) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (tag === 'button') element.type = 'button';
  element.classList.add(...classes);
  for (const part of parts.flat(Infinity)) {
    if (part instanceof Node || typeof part === 'string') element.append(part);
    else for (const [name, value] of Object.entries(part || {})) setAttribute(element, name, value);
  }
  return element;
}

function setAttribute(element, name, value) {
  if (typeof value === 'function') element.addEventListener(name.slice(2), value);
  else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
}

export const byId = (id) => document.getElementById(id);

/** Says something to those who listen to the page. */
export const announce = (text) => void (byId('docs-status').textContent = text);

/** Paragraphs, with `code` in backticks: as much of CommonMark as a description needs. */
export const prose = (text) => text.split(/\n\s*\n/).filter(Boolean).map((part) => h('p', inline(part)));

export const inline = (text) => text.split('`').map((part, i) => (i % 2 === 1 ? h('code', part) : part));

const JSON_TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\b\d[\d.eE+-]*/g;

/** A block of code, its JSON coloured when `isJson`. */
export function codeBlock(text, isJson) {
  const code = h('code');
  let end = 0;
  if (isJson) {
    for (const token of text.matchAll(JSON_TOKENS)) {
      const [whole, string, colon] = token;
      const kind = colon !== undefined ? 'key' : string !== undefined ? 'text' : 'atom';
      code.append(text.slice(end, token.index), h(`span.json-${kind}`, string ?? whole), colon ?? '');
      end = token.index + whole.length;
    }
  }
  code.append(text.slice(end));
  return h('pre', code);
}

export const jsonBlock = (value) => codeBlock(JSON.stringify(value, null, 2) ?? '', true);

export const methodView = (method) => h(`span.method.${method.toLowerCase()}`, method);

/** A `details` with its summary; what it opens to is built when first needed. */
export function createFold(element, build) {
  function set(open) {
    if (open && element.childElementCount === 1) element.append(build());
    element.open = open;
  }
  element.addEventListener('toggle', () => set(element.open));
  return { element, set, isOpen: () => element.open };
}

export const fold = (summary, build) => createFold(h('details', h('summary', summary)), build).element;

/** A button that copies what `read` gives at that moment. */
export function copyButton(read, what) {
  const button = h('button.quiet', { 'aria-label': `Copy ${what}`, onclick: copy }, 'Copy');
  async function copy() {
    const done = await toClipboard(read());
    button.textContent = done ? 'Copied' : 'Not copied';
    announce(done ? `Copied ${what}` : 'The browser refused to copy');
    setTimeout(() => void (button.textContent = 'Copy'), 1500);
  }
  return button;
}

/** `navigator.clipboard` is there on https and localhost only; elsewhere a selection is copied. */
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea.unseen', { 'aria-hidden': 'true' });
    const focused = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    focused?.focus();
    return done;
  }
}
