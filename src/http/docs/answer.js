import { codeBlock, copyButton, h } from './dom.js';

const ITEM = /"([^"]*)"((?:\s*;\s*[\w-]+=[^;,]*)*)/g;

function listOf(header) {
  return [...(header ?? '').matchAll(ITEM)].map(([, name, rest]) => {
    const parameters = rest.split(';').slice(1).map((part) => part.trim().split('='));
    return [name, Object.fromEntries(parameters.map(([key, value]) => [key, Number(value)]))];
  });
}

/**
 * The buckets that an answer tells of: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
 * `fullIn` is in seconds; on a refusal `t` counts to the next token only, and the rest grows evenly.
 */
export function limitsOf(headers, status) {
  const policies = new Map(listOf(headers.get('RateLimit-Policy')));
  return listOf(headers.get('RateLimit')).flatMap(([name, { r, t }]) => {
    const { q, w } = policies.get(name) ?? {};
    if (!(q > 0) || !(r >= 0)) return [];
    const isRefused = status === 429 && r === 0;
    const fullIn = isRefused ? (t || 0) + ((q - 1) * (w || 0)) / q : t || 0;
    return [{ name, quota: q, windowSeconds: w, left: r, nextIn: isRefused ? t : undefined, fullIn }];
  });
}

/** A bar that refills as the server's bucket does. */
function limitBar({ name, quota, windowSeconds, left, nextIn, fullIn }) {
  const fill = h('span.fill');
  const words = h('span.soft');
  const start = performance.now();
  const element = h('div.limit', h('span', name), h('span.bar', { 'aria-hidden': 'true' }, fill), words);
  element.title = `${quota} requests in ${windowSeconds} seconds`;
  function draw() {
    const passed = (performance.now() - start) / 1000;
    const share = fullIn > 0 ? Math.min(1, passed / fullIn) : 1;
    fill.style.transform = `scaleX(${(left + (quota - left) * share) / quota})`;
    fill.classList.toggle('empty', left === 0 && passed < (nextIn ?? 0));
    const seconds = Math.ceil(fullIn - passed);
    const next = Math.ceil((nextIn ?? 0) - passed);
    const now = Math.min(quota, Math.floor(left + (quota - left) * share));
    words.textContent = next > 0
      ? `none left, next in ${next} s`
      : `${now} of ${quota} left${seconds > 0 ? `, all in ${seconds} s` : ''}`;
  }
  const timer = setInterval(() => (element.isConnected ? draw() : clearInterval(timer)), 1000);
  draw();
  return element;
}

export const statusClass = (status) => `status.s${String(status)[0]}`;

const duration = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

/** One line for those who listen. */
export const answerInWords = ({ status, reason, ms, json }) =>
  `${status} ${reason}, ${duration(ms)}${json?.code ? `: ${json.code}. ${json.detail ?? ''}` : ''}`;

const SHOWN_AT_MOST = 100_000;

/** What came back: status, time, limits, headers, body. `notes` are sentences on how it came about. */
export function answerView(request, answer, notes) {
  const { status, reason, headers, text, json, ms } = answer;
  const pretty = json === undefined ? text : JSON.stringify(json, null, 2);
  const isCut = pretty.length > SHOWN_AT_MOST;
  const rows = [...headers].map(([name, value]) => h('div', h('dt', name), h('dd', value)));
  const body = codeBlock(pretty.slice(0, SHOWN_AT_MOST), json !== undefined);
  body.tabIndex = 0;
  return h('div.answer-box',
    h('p.request-line', `${request.method} ${request.target}`),
    h(
      'p.status-line',
      h(`strong.${statusClass(status)}`, `${status} ${reason}`),
      h('span.soft', `${duration(ms)} · ${new TextEncoder().encode(text).length} bytes`),
      text !== '' && copyButton(() => pretty, 'the answer'),
    ),
    json?.code && h('p', h('code', String(json.code)), ' ', String(json.detail ?? '')),
    notes.map((note) => h('p.note', note)),
    limitsOf(headers, status).map(limitBar),
    h('details', h('summary', `${rows.length} headers`), h('dl.headers', rows)),
    text === '' ? h('p.soft', 'No body.') : body,
    isCut && h('p.soft', 'Cut here; Copy has all of it.'),
  );
}
