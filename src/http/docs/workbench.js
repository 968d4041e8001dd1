import { answerInWords, answerView } from './answer.js';
import { isObject } from './document.js';
import { announce, codeBlock, copyButton, h } from './dom.js';
import { createForm } from './form.js';
import { base, requestOf, send } from './request.js';
import { snippets } from './snippets.js';

const PLACEHOLDER = '<token>';

/** Where an operation is tried: its form, the request as a program, the answer. `page` has the `session`. */
export function createWorkbench(operation, { session }) {
  const form = createForm(operation, { changed: drawSnippet, submitted: (filled) => void run(filled) });
  const formBox = h('div', { hidden: true }, form.element);
  let language = 'curl';
  const languages = Object.keys(snippets).map((name) =>
    h('button.tab', { 'aria-pressed': String(name === language), onclick: () => choose(name) }, name));
  const withToken = h('input', { type: 'checkbox', onchange: drawSnippet });
  const snippetBox = h('div');
  let snippet = '';
  let offered = '';
  const answerBox = h('div');
  const element = h(
    'div.workbench',
    formBox,
    h('section', { 'aria-label': 'Request' },
      h('div.tabs', { role: 'group', 'aria-label': 'Language' }, languages,
        operation.secured && h('label.check', withToken, 'my token'), copyButton(() => snippet, 'the request')),
      snippetBox),
    h('section.result', { 'aria-label': 'Answer', hidden: true }, h('h4', 'Answer'), answerBox),
  );

  function choose(name) {
    language = name;
    for (const button of languages) button.setAttribute('aria-pressed', String(button.textContent === name));
    drawSnippet();
  }

  function drawSnippet() {
    const token = withToken.checked ? session.state.access || PLACEHOLDER : PLACEHOLDER;
    const { target, ...request } = requestOf(operation, form.read(), token);
    snippet = snippets[language]({ ...request, url: base() + target });
    snippetBox.replaceChildren(codeBlock(snippet, false));
  }

  async function run(filled) {
    form.sending(true);
    answerBox.setAttribute('aria-busy', 'true');
    if (element.lastChild.hidden) answerBox.replaceChildren(h('p.soft', 'Waiting for the answer …'));
    element.lastChild.hidden = false;
    try {
      const notes = [];
      let request = requestOf(operation, filled, await session.token());
      let answer = await send(request);
      if (operation.secured && answer.json?.code === 'invalid_token' && (await session.renew())) {
        notes.push('The access token was refused; it has been renewed and the request sent again.');
        request = requestOf(operation, filled, session.state.access);
        answer = await send(request);
      }
      if (answer.redirectedTo) notes.push(`A redirect was followed to ${answer.redirectedTo}.`);
      notes.push(...follow(filled, answer));
      answerBox.replaceChildren(answerView(request, answer, notes));
      if (Array.isArray(answer.json?.errors)) form.showRefused(answer.json.errors.filter(isFault));
      announce(answerInWords(answer));
    } catch (error) {
      answerBox.replaceChildren(h('p.fault', { role: 'alert' }, error.message));
    }
    answerBox.removeAttribute('aria-busy');
    form.sending(false);
  }

  const isFault = (fault) => isObject(fault) && typeof fault.pointer === 'string' && typeof fault.detail === 'string';

  /** Tokens that come or go by what was tried. */
  function follow({ body }, { status, json }) {
    const mine = session.state.refresh !== '' && body?.includes(session.state.refresh);
    if (typeof json?.access_token === 'string') {
      if (mine) {
        session.adopt(json);
        return ['You are now logged in with this new pair of tokens.'];
      }
      const use = h('button.quiet', { onclick: () => session.adopt(json, '') }, 'Use this token');
      return [use];
    }
    if (mine && status === 204) session.paste('');
    return [];
  }

  /** Offers the refresh token of this session, always the newest, and shows the current token in the request. */
  function sessionChanged() {
    form.suggest('refresh_token', session.state.refresh, offered);
    offered = session.state.refresh;
    drawSnippet();
  }

  sessionChanged();
  return {
    element,
    sessionChanged,
    showForm: (shown) => void (formBox.hidden = !shown),
    focus: () => form.focus(),
  };
}
