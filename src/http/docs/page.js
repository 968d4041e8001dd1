import { createAccount } from './account.js';
import { isObject, readDocument } from './document.js';
import { byId, createFold, h, methodView, prose } from './dom.js';
import { createOperation } from './operation.js';
import { send } from './request.js';
import { createSession } from './session.js';
import { exampleView, propertiesView } from './shape.js';

const main = byId('operations');
const nav = byId('contents');
const search = byId('search');
let sections = [];
let schemas = [];
let opened = [];

const allCards = () => sections.flatMap((section) => section.cards);
const tagId = (name) => `tag-${name.replace(/\W+/g, '-')}`;

async function load() {
  const held = main.contains(document.activeElement);
  main.setAttribute('aria-busy', 'true');
  try {
    const answer = await send({ method: 'GET', target: '/openapi.json', headers: {} });
    if (answer.status !== 200) throw new Error(`The server answered ${answer.status}. ${answer.json?.detail ?? ''}`);
    if (!isObject(answer.json)) throw new Error('What the server sent is no such description.');
    show(readDocument(answer.json));
  } catch (error) {
    const retry = h('button.primary', { onclick: () => void load() }, 'Load again');
    main.replaceChildren(h('div.notice', { role: 'alert' },
      h('h2', 'The description of this API did not load'), h('p', error.message), retry));
  }
  main.removeAttribute('aria-busy');
  if (held) main.querySelector('button')?.focus();
}

function show(api) {
  const pathOf = (end) => api.operations.find(({ path }) => path.endsWith(`/auth/${end}`))?.path;
  const routes = Object.fromEntries(['login', 'register', 'refresh', 'logout'].map((end) => [end, pathOf(end)]));
  const session = createSession({ routes, post, changed });
  const drawAccount = createAccount(session, routes);
  function changed() {
    drawAccount();
    for (const card of allCards()) card.sessionChanged();
  }
  drawAccount();

  const page = { session, opened: (id) => history.replaceState(null, '', `#${id}`) };
  opened = [];
  sections = api.tags.map((tag) => createSection(tag, page));
  main.replaceChildren(...sections.map((section) => section.element));
  if (sections.length === 0) main.append(h('p.notice', 'This API describes no operations.'));
  schemas = api.schemas.map(createSchema);
  if (schemas.length > 0) main.append(createSchemas(schemas));
  nav.replaceChildren(...sections.map((section) => section.contents));
  byId('tools').inert = false;
  filter();
  goTo(location.hash);
}

const post = (target, body) =>
  send({ method: 'POST', target, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

function createSection(tag, page) {
  const cards = tag.operations.map((operation) => {
    const card = createOperation(operation, page);
    const link = h('a', { href: `#${operation.id}` }, methodView(operation.method), h('span', operation.summary));
    return { ...card, link: h('li', link) };
  });
  const element = h('section.tag', { id: tagId(tag.name), 'aria-labelledby': `${tagId(tag.name)}-title` },
    h('h2', { id: `${tagId(tag.name)}-title` }, tag.name), prose(tag.description),
    h('div.group', cards.map((card) => card.element)));
  const contents = h('div', h('h2', tag.name), h('ul', cards.map((card) => card.link)));
  return { element, contents, cards };
}

const createSchemas = (schemas) =>
  h('section.tag', { id: 'schemas' }, h('h2', 'Schemas'), h('div.group', schemas.map((schema) => schema.element)));

function createSchema([name, schema]) {
  const element = h('details.schema', { id: `schema-${name}`, tabindex: '-1' }, h('summary', h('code', name)));
  const about = () => h('div.about', prose(schema.description ?? ''), propertiesView(schema), exampleView(schema));
  return createFold(element, about);
}

/** Shows the operations that have every word searched for. */
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { element, contents, cards } of sections) {
    const matching = cards.filter((card) => words.every((word) => card.words.includes(word)));
    for (const card of cards) card.element.hidden = card.link.hidden = !matching.includes(card);
    element.hidden = contents.hidden = matching.length === 0;
    count += matching.length;
  }
  if (schemas.length > 0) byId('schemas').hidden = words.length > 0;
  byId('intro').hidden = words.length > 0;
  const inWords = count === 0 ? `Nothing here matches “${search.value.trim()}”.` : `${count} found.`;
  byId('found').textContent = words.length === 0 ? '' : inWords;
}

/** Opens and shows what a deep link names. */
function goTo(hash) {
  let id = hash.slice(1);
  try {
    id = decodeURIComponent(id);
  } catch {
    // The text is its own name then.
  }
  const card = [...allCards(), ...schemas].find(({ element }) => element.id === id);
  if (card === undefined) return;
  const target = card.element;
  if (target.hidden || target.closest('[hidden]')) {
    search.value = '';
    filter();
  }
  card.set(true);
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

function onKey(event) {
  const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select');
  if (event.key === '/' && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  }
  if (event.target !== search) return;
  if (event.key === 'Escape') {
    search.value = '';
    filter();
  }
  const first = allCards().find((card) => !card.element.hidden);
  if (event.key === 'Enter' && first) {
    history.replaceState(null, '', `#${first.element.id}`);
    goTo(location.hash);
  }
}

search.addEventListener('input', filter);
document.addEventListener('keydown', onKey);
addEventListener('hashchange', () => goTo(location.hash));
addEventListener('beforeprint', () => {
  opened = [...allCards(), ...schemas].filter((card) => !card.isOpen());
  for (const card of opened) card.set(true);
});
addEventListener('afterprint', () => {
  for (const card of opened) card.set(false);
});
void load();
