import { fold, h, inline, jsonBlock, methodView, prose } from './dom.js';
import { statusClass } from './answer.js';
import { exampleView, propertiesView, typeView, valueView } from './shape.js';
import { sample } from './words.js';
import { createWorkbench } from './workbench.js';

const section = (title, ...children) => h('section', h('h4', title), children);

/** `/users/{id}`, with its parameters set apart and places to break the line. */
const pathView = (path) =>
  path.split(/(\{[^}]+\}|\/)/).map((part) =>
    part === '/' ? [h('wbr'), '/'] : part.startsWith('{') ? h('em', part) : part,
  );

function successView({ status, description, schema, type, examples }) {
  const badge = h(`strong.${statusClass(status)}`, status);
  const line = h('p', badge, ' ', inline(description), ' ', schema ? typeView(schema) : type);
  if (schema === undefined) return line;
  const fields = fold('Its fields', () => propertiesView(schema));
  return [line, jsonBlock(examples[0]?.[1] ?? sample(schema)), fields];
}

function refusalView({ status, code, detail, example }) {
  const line = [h(`strong.${statusClass(status)}`, status), h('code', code), h('span', inline(detail))];
  if (example === undefined) return h('li.refusal', line);
  return h('li', fold(h('span.refusal', line), () => jsonBlock(example)));
}

/** Everything that is to be known before one tries. */
function aboutView(operation) {
  const { description, parameters, body, successes, refusals, secured, role, limits } = operation;
  return h(
    'div.about',
    prose(description),
    h(
      'p.soft',
      secured && `Needs a token${role && ` with the role ${role}`}. `,
      limits.length > 0 && `Rate limits: ${limits.join('; ')}.`,
    ),
    parameters.length > 0 && section('Parameters', h('ul.shape', {},
      parameters.map(({ name, schema, required, where }) => {
        const view = valueView(name, schema, required);
        view.firstChild.after(h('span.soft', `in ${where},`));
        return view;
      }))),
    body && section('Body', propertiesView(body), exampleView(body)),
    section('Answers', successes.map(successView)),
    refusals.length > 0 && section('Refusals', h('ul.refusals', refusals.map(refusalView))),
  );
}

/**
 * An operation in the list: a row that opens. What it opens to is built when first needed.
 * `page` is what a workbench needs, and `opened(id)`.
 */
export function createOperation(operation, page) {
  const { id, method, path, summary, secured, role } = operation;
  const details = h('div.details', { id: `${id}-details`, hidden: true });
  const toggle = h(
    'button.row',
    { 'aria-expanded': 'false', 'aria-controls': details.id, onclick: () => set(details.hidden, true) },
    methodView(method),
    h('span.path', pathView(path)),
    h('span.summary', { id: `${id}-summary` }, summary),
    secured && h('span.badge', role || 'token'),
  );
  const tryButton = h(
    'button.try',
    { 'aria-describedby': `${id}-summary`, 'aria-expanded': 'false', onclick: toggleTry },
    'Try',
  );
  const element = h('article.operation', { id, tabindex: '-1', 'aria-labelledby': `${id}-summary` },
    h('div.head', h('h3', toggle), tryButton), details);
  let workbench;

  function build() {
    if (workbench !== undefined) return;
    workbench = createWorkbench(operation, page);
    details.append(aboutView(operation), workbench.element);
  }

  function set(open, byHand = false) {
    if (open) build();
    details.hidden = !open;
    toggle.setAttribute('aria-expanded', String(open));
    if (!open) showForm(false);
    if (open && byHand) page.opened(id);
  }

  function showForm(shown) {
    workbench?.showForm(shown);
    tryButton.setAttribute('aria-expanded', String(shown));
    details.classList.toggle('trying', shown);
  }

  function toggleTry() {
    const shown = tryButton.getAttribute('aria-expanded') !== 'true';
    if (shown) set(true, true);
    showForm(shown);
    if (shown) workbench.focus();
  }

  const sessionChanged = () => workbench?.sessionChanged();
  const codes = operation.refusals.map((refusal) => refusal.code);
  const { description, tag } = operation;
  const words = [method, path, summary, id, description, tag, role, ...codes].join(' ').toLowerCase();
  return { element, set, isOpen: () => !details.hidden, sessionChanged, words };
}
