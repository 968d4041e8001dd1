import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, suite, test } from 'node:test';

import { createDocs } from '../../src/http/docs.ts';
import { findChromium, openBrowser } from '../helpers/chromium.ts';
import type { Browser, Page } from '../helpers/chromium.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';
import { VISITOR } from '../helpers/visitor.ts';

const chromium = findChromium();
const skip = chromium === undefined && 'chromium is not installed (apt-get install chromium)';
const PROBLEM = { 'Content-Type': 'application/problem+json' };
const SCREENS = [['phone', 390, 844], ['tablet', 820, 1100], ['desktop', 1440, 1000]] as const;

suite('The page at /docs in a browser', { skip }, () => {
  let server: TestServer;
  let browser: Browser;

  before(async () => {
    server = await startServer();
    browser = await openBrowser(chromium!);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** Opens the page, lets it be used, and holds it to silence and to its own server. */
  async function visit(use: (page: Page) => Promise<void>, { url = server.url, hash = '' } = {}): Promise<void> {
    const page = await browser.newPage();
    await page.look({ width: 1440, height: 1000 });
    await page.goto(`${url}/docs${hash}`);
    await page.until(`document.querySelector('#operations:not([aria-busy])')`);
    await page.evaluate(VISITOR);
    await use(page);
    assert.deepEqual(page.errors, []);
    const hosts = new Set(page.requests.filter((one) => !one.startsWith('data:')).map((one) => new URL(one).origin));
    assert.deepEqual([...hosts], [url]);
    await page.close();
  }

  test('shows every operation with every refusal, and every schema', async () => {
    const { paths, components } = (await server.call('GET', '/openapi.json')).json;
    const operations = Object.values<any>(paths).flatMap((item) => Object.values<any>(item));
    assert.ok(operations.length > 15);
    await visit(async (page) => {
      assert.deepEqual(await page.evaluate(`$$('article').map((card) => card.id).sort()`), ids(operations));
      await page.evaluate(`$$('.row').forEach((row) => row.click())`);
      for (const { operationId, summary, responses } of operations) {
        const card = await page.evaluate<string>(`document.getElementById('${operationId}').textContent`);
        const codes = Object.values<any>(responses).flatMap((response) => response['x-codes'] ?? []);
        for (const word of [summary, ...Object.keys(responses), ...codes]) assert.ok(card.includes(word), word);
      }
      const schemas = await page.evaluate(`$$('.schema').map((one) => one.id.slice(7)).sort()`);
      assert.deepEqual(schemas, Object.keys(components.schemas).sort());
    });
  });

  const ids = (operations: { operationId: string }[]) => operations.map((one) => one.operationId).sort();

  test('lets every operation be tried, with a login and without', async () => {
    await visit(async (page) => {
      for (const login of [false, true]) {
        if (login) await page.evaluate(`logIn('admin@example.com', 'correct horse')`);
        for (const id of await page.evaluate<string[]>(`$$('article').map((card) => card.id)`)) {
          const sent = { id: '0198f3c2-7b6e-7d55-a3c0-0123456789ab' };
          const status = await page.evaluate<string>(`tryOut('${id}', ${JSON.stringify(sent)})`);
          assert.match(status, /^[2-4]\d\d /, id);
        }
      }
    });
  });

  test('registers, logs in, tells who one is, and logs out', async () => {
    await visit(async (page) => {
      assert.equal(await page.evaluate(`tryOut('getMe')`), '401 Unauthorized');
      const refused = await page.evaluate<string>(`logIn('bob@example.com', 'wrong horse')`);
      assert.equal(refused, 'Not logged in|The e-mail address or the password is wrong.');
      assert.equal(await page.evaluate(`logIn('bob@example.com', 'correct horse', 'Register')`), 'bob@example.com|');
      assert.equal(await page.evaluate(`tryOut('getMe')`), '200 OK');
      assert.match(await page.evaluate(`$('#getMe .result').textContent`), /"email": "bob@example.com"/);
      assert.match(await page.evaluate(`$('#getMe .limit').textContent`), /^default\d+ of 100000 left/);
      assert.match(await page.evaluate(`$('#getMe .workbench pre').textContent`), /<token>/);
      await page.evaluate(`$('#getMe .tabs input').click()`);
      const token = await page.evaluate<string>(`$('#account-token').value`);
      assert.ok((await page.evaluate<string>(`$('#getMe .workbench pre').textContent`)).includes(token));
      await page.evaluate(`$('#account-logout').click()`);
      assert.equal(await page.evaluate(`tryOut('getMe')`), '401 Unauthorized');
      // The page forgets at once, and tells the server behind its back.
      const ended = async (): Promise<boolean> => (await server.call('GET', '/api/v1/users/me', { token })).status === 401;
      for (let tries = 0; tries < 2000 && !(await ended()); tries++) await sleep(20);
      assert.ok(await ended());
    });
  });

  test('takes a pasted token', async () => {
    const { access_token: token } = await server.login('carl@example.com');
    await visit(async (page) => {
      const label = await page.evaluate<string>(`$('#account-token').labels[0].textContent`);
      assert.equal(label, 'Token');
      await page.evaluate(`fill($('#account-token'), 'Bearer ${token}')`);
      assert.equal(await page.evaluate(`tryOut('getMe')`), '200 OK');
    });
  });

  test('says under a field what it is, by its rules or else in its own words', async () => {
    await visit(async (page) => {
      await page.evaluate(`buttonIn($('#listUsers'), 'Try').click()`);
      const [limit, cursor] = await page.evaluate<string[]>(`$$('#listUsers .hint').map((hint) => hint.textContent)`);
      assert.equal(limit, 'whole number, 1 to 100, 20 unless given');
      assert.equal(cursor, 'next_cursor of the page before.');
    });
  });

  test('renews a refused token, follows one renewed by hand, and says when the session is over', async () => {
    await visit(async (page) => {
      await page.evaluate(`logIn('admin@example.com', 'correct horse')`);
      server.clock.advance(16 * 60_000);
      assert.equal(await page.evaluate(`tryOut('getMe')`), '200 OK');
      assert.match(await page.evaluate(`$('#getMe .note').textContent`), /renewed/);
      assert.equal(await page.evaluate(`tryOut('refresh')`), '200 OK');
      server.clock.advance(60_000);
      assert.equal(await page.evaluate(`tryOut('refresh')`), '200 OK');
      assert.equal(await page.evaluate(`tryOut('logoutAll')`), '204 No Content');
      assert.equal(await page.evaluate(`tryOut('getMe')`), '401 Unauthorized');
      assert.equal(await page.evaluate(`$('#account-who').textContent`), 'The session has ended');
    });
  });

  test('checks fields before it sends them, and shows what the server says of a raw body', async () => {
    await visit(async (page) => {
      const count = () => page.requests.filter((url) => url.endsWith('/register')).length;
      const typed = JSON.stringify({ email: 'nobody', password: 'abc', full_name: 'x'.repeat(201) });
      await page.evaluate(`tryOut('register', ${typed})`);
      assert.deepEqual(await page.evaluate(`$$('#register .wrong .hint').map((hint) => hint.textContent)`), [
        'must be an e-mail address such as ada@example.com',
        'needs 4 characters or more',
        'must have at most 200 characters',
      ]);
      assert.equal(await page.evaluate(`document.activeElement.name`), 'email');
      assert.equal(count(), 0);
      await page.evaluate(`$('#register [role=switch]').click()`);
      const raw = await page.evaluate<string>(`$('#register form textarea').value`);
      assert.deepEqual(JSON.parse(raw), JSON.parse(typed));
      await page.evaluate(`fill($('#register form textarea'), '{"email":1,"colour":2}')`);
      const advice = await page.evaluate<string>(`$('#register [role=status]').textContent`);
      await page.evaluate(`$('#register form').requestSubmit()`);
      await page.until(`$('#register .result .status')`);
      assert.equal(count(), 1);
      const { errors } = JSON.parse(await page.evaluate(`$('#register .result pre').textContent`));
      assert.deepEqual(
        advice,
        `The server will refuse it: ${errors.map((one: any) => `${one.pointer.slice(1)} ${one.detail}`).join('; ')}.`,
      );
    });
  });

  test('works by the keyboard alone', async () => {
    await visit(async (page) => {
      await page.press('Tab');
      assert.equal(await page.evaluate(`document.activeElement.textContent`), 'Skip to the operations');
      await page.press('Enter');
      await page.press('/');
      assert.equal(await page.evaluate(`document.activeElement.id`), 'search');
      await page.type('ping');
      const shown = await page.evaluate(`$$('article').filter((card) => !card.hidden).map((card) => card.id)`);
      assert.deepEqual(shown, ['ping']);
      await page.press('Enter');
      assert.equal(await page.evaluate(`document.activeElement.id + location.hash`), 'ping#ping');
      await page.press('Tab');
      await page.press('Tab');
      assert.equal(await page.evaluate(`document.activeElement.textContent`), 'Try');
      await page.press('Enter');
      assert.equal(await page.evaluate(`document.activeElement.textContent`), 'Send');
      await page.press('Enter');
      await page.until(`$('#ping .result .status')?.textContent === '200 OK'`);
      assert.match(await page.evaluate(`$('#docs-status').textContent`), /^200 OK, /);
      await page.press('/');
      await page.type('zzz');
      assert.equal(await page.evaluate(`$('#found').textContent`), 'Nothing here matches “zzz”.');
      assert.ok(await page.evaluate(`!$('#intro').checkVisibility()`));
      await page.press('Escape');
      assert.ok(await page.evaluate(`$('#intro').checkVisibility()`));
      assert.ok(await page.evaluate(`$$('article').every((card) => !card.hidden)`));
    });
  });

  test('gives everything that can be operated a name, and every field a label', async () => {
    await visit(async (page) => {
      await page.evaluate(`$$('.try').forEach((button) => button.click())`);
      const nameless = await page.evaluate(`$$('button, a, summary').filter((one) => !one.textContent.trim()).length
        + $$('input, select, textarea').filter((one) => !one.labels[0]?.textContent.trim()).length`);
      assert.equal(nameless, 0);
      const twice = await page.evaluate(`$$('[id]').map(({ id }) => id).filter((id, i, all) => all.indexOf(id) !== i)`);
      assert.deepEqual(twice, []);
    });
  });

  test('draws every text so that it can be read, in light and dark, refusals and faults too', async () => {
    await visit(async (page) => {
      await page.evaluate(`logIn('bob@example.com', 'wrong horse')`);
      await page.evaluate(`$$('.row').forEach((row) => row.click())`);
      await page.evaluate(`tryOut('ping').then(() => tryOut('getMe'))`);
      await page.evaluate(`tryOut('register', { email: 'nobody' })`);
      await page.evaluate(`$$('details').forEach((one) => (one.open = true))`);
      for (const scheme of ['light', 'dark'] as const) {
        await page.look({ width: 1440, height: 1000, scheme });
        assert.ok((await page.evaluate<number>(`$$('*').filter((one) => one.checkVisibility()).length`)) > 3000);
        assert.deepEqual(await page.evaluate('faint()'), [], scheme);
      }
    });
  });

  test('opens what a deep link names', async () => {
    const holds = (truth: string) => async (page: Page) => assert.ok(await page.evaluate(truth));
    await visit(holds(`$('#getMe .about').checkVisibility()`), { hash: '#getMe' });
    await visit(holds(`$('#schema-User').open`), { hash: '#schema-User' });
    await visit(async () => {}, { hash: '#%E0%A4%A' });
  });

  test('says so when the description does not load, and loads it again', async () => {
    const page = await browser.newPage();
    await page.block(['*openapi.json']);
    await page.goto(`${server.url}/docs`);
    await page.until(`document.querySelector('[role=alert] button')`);
    assert.match(await page.evaluate(`document.querySelector('main').textContent`), /did not load.*cannot be reached/);
    await page.evaluate(`(globalThis.first = document.querySelector('[role=alert] button')).focus()`);
    await page.press('Enter');
    await page.until(`!first.isConnected && document.activeElement.textContent === 'Load again'`);
    await page.block([]);
    await page.press('Enter');
    await page.until(`document.querySelector('#ping')`);
    await page.until(`document.activeElement.matches('main button')`); // Where one was, not back at the top.
    await page.close();
  });

  test('shows a spent limit filling again, and says how long a login has to wait', async (t) => {
    const limited = await startServer({ RATE_LIMIT_DEFAULT: '2/2s', RATE_LIMIT_LOGIN: '1/60s' });
    t.after(() => limited.close());
    await visit(
      async (page) => {
        for (let tries = 0; tries < 2; tries++) await page.evaluate(`tryOut('ping')`);
        const spent = await page.evaluate(`tryOut('ping').then((status) => [status, $('#ping .limit').textContent])`);
        assert.deepEqual(spent, ['429 Too Many Requests', 'defaultnone left, next in 1 s']);
        await page.until(`$('#ping .limit').textContent === 'default2 of 2 left'`);
        limited.clock.advance(2000);
        await page.evaluate(`logIn('bob@example.com', 'wrong')`);
        const refused = await page.evaluate(`logIn('bob@example.com', 'wrong')`);
        assert.equal(refused, 'Not logged in|Too Many Requests: try again in 60 seconds.');
      },
      { url: limited.url },
    );
  });

  test('says what was wrong with an answer, and does not blame the network for it', async (t) => {
    const answers: [RegExp, (response: http.ServerResponse) => void][] = [
      [/answered 503\. Not now\./, (to) => to.writeHead(503, PROBLEM).end('{"detail":"Not now."}')],
      [/no such description/, (to) => to.writeHead(200, PROBLEM).end('null')],
      [/broke off/, (to) => to.writeHead(200, { ...PROBLEM, 'Content-Length': 9 }).write('{', () => to.destroy())],
      [/describes no operations/, (to) => to.writeHead(200, PROBLEM).end('{}')],
    ];
    for (const [words, answer] of answers) {
      const { html } = createDocs({ title: 'Any', version: '1', description: '' });
      const lame = http.createServer(({ url }, to) => (url === '/docs' ? to.end(html) : answer(to)));
      await once(lame.listen(0, '127.0.0.1'), 'listening');
      t.after(() => lame.close());
      await visit(async (page) => assert.match(await page.evaluate(`$('main').textContent`), words), {
        url: `http://127.0.0.1:${(lame.address() as AddressInfo).port}`,
      });
    }
  });

  test('says so when the server has gone', async (t) => {
    const shortLived = await startServer({ SHUTDOWN_TIMEOUT: '100ms' });
    let closing: Promise<void> | undefined;
    t.after(() => closing ?? shortLived.close());
    await visit(
      async (page) => {
        await (closing = shortLived.close());
        assert.match(await page.evaluate(`tryOut('ping')`), /cannot be reached/);
        assert.match(await page.evaluate(`logIn('bob@example.com', 'correct horse')`), /^Not logged in\|No answer/);
      },
      { url: shortLived.url },
    );
  });

  test('does not move while it loads, be the screen narrow or wide and the processor slow', async () => {
    const visits = [[320, ''], [390, '#getMe'], [620, '#schema-User'], [960, ''], [1440, '#schema-User']] as const;
    for (const [width, hash] of visits) {
      const page = await browser.newPage();
      await page.look({ width, height: 900 });
      await page.slowDown(4);
      await page.goto(`${server.url}/docs${hash}`);
      await page.until(`document.querySelector('#ping')`);
      const moved = await page.evaluate<string[]>(`new Promise((done) => {
        const moved = [];
        const add = (list) => moved.push(...list.getEntries().flatMap(({ value, sources }) =>
          [value, ...sources.map(({ node }) => node?.outerHTML?.slice(0, 80))]));
        new PerformanceObserver(add).observe({ type: 'layout-shift', buffered: true });
        setTimeout(() => done(moved), 200);
      })`);
      assert.deepEqual(moved, [], `at ${width}${hash}`);
      await page.close();
    }
  });

  test('fits 390 pixels and any wider screen, in light and dark, and on paper', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'docs-'));
    t.diagnostic(`screenshots in ${folder}`);
    await visit(async (page) => {
      const shoot = async (step: string, id: string): Promise<void> => {
        for (const [name, width, height] of SCREENS) {
          const scheme = (width < 1000) === (step === 'answer') ? 'light' : 'dark';
          await page.look({ width, height, scheme });
          assert.ok(await page.evaluate(`document.documentElement.scrollWidth <= innerWidth`), `${name} ${step}`);
          await page.evaluate(`document.getElementById('${id}').scrollIntoView()`);
          await page.screenshot(join(folder, `${name}-${step}-${scheme}.png`));
        }
      };
      await shoot('start', 'account-who');
      await page.evaluate(`logIn('admin@example.com', 'correct horse').then(() => tryOut('listUsers'))`);
      await shoot('answer', 'listUsers');
      await page.evaluate(`$$('.try').forEach((button) => button.click())`);
      await page.evaluate(`$$('details').forEach((one) => (one.open = true))`);
      await shoot('open', 'register');
      await page.look({ width: 390, height: 844, print: true });
      assert.ok(await page.evaluate(`!$('.try').checkVisibility() && $('#ping .summary').checkVisibility()`));
    });
  });
});
