import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import vm from 'node:vm';

import { about } from '../../src/api/about.ts';
import { createDocs } from '../../src/http/docs.ts';
import { array, boolean, check, integer, nullable, object, oneOf, optional, string } from '../../src/http/schema.ts';

const folder = new URL('../../src/http/docs/', import.meta.url);
const load = (name: string): Promise<any> => import(new URL(name, folder).href);
const run = promisify(execFile);

const { html, contentSecurityPolicy } = createDocs({
  title: 'Things & more',
  version: '1.2.3',
  description: 'One of `<things>`.\n\nAnother.',
});
const inside = (tag: string) =>
  [...html.matchAll(new RegExp(`<${tag}(?: [^>]*)?>([^]*?)</${tag}>`, 'g'))].map((match) => match[1]!);
const [style, script] = [inside('style')[0]!, inside('script')[0]!];

test('The policy allows the one style and the one script of the page by their hashes, and nothing else', () => {
  const directives = contentSecurityPolicy.split('; ').map((directive) => directive.split(' '));
  const policy = Object.fromEntries(directives.map(([name, ...sources]) => [name, sources.join(' ')]));
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  assert.deepEqual(policy, {
    'default-src': "'none'",
    'script-src': hash(script),
    'style-src': hash(style),
    'connect-src': "'self'",
    'img-src': 'data:',
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
  });
  assert.equal(inside('style').length, 1);
  assert.equal(inside('script').length, 1);
});

test('The page is smaller than 60 KB', () => {
  const bytes = Buffer.byteLength(createDocs({ ...about, version: '0.0.0' }).html);
  assert.ok(bytes < 60_000, `${bytes} bytes`);
});

test('What is known of the API is in the page from the start, as text', () => {
  assert.ok(html.includes('<title>Things &#38; more 1.2.3</title>'));
  assert.ok(html.includes('<p>One of <code>&#60;things&#62;</code>.</p><p>Another.</p>'));
});

test('The page names no other host and has no inline handler or style attribute', () => {
  assert.deepEqual(html.match(/\b(?:https?|wss?):\/\/\w+/g), null);
  assert.deepEqual(style.match(/url\(|@import/g), null);
  const markup = html.replace(style, '').replace(script, '');
  assert.deepEqual(markup.match(/<[^>]+\s(?:on\w+|style|src)=/g), null);
});

test('The script is one program that makes no markup of texts and stores nothing', () => {
  new vm.Script(script);
  const forbidden = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|Storage|\.cookie/g;
  assert.deepEqual(script.match(forbidden), null);
});

test('Texts are readable in both themes: contrast is at least 4.5 to 1, that of the edges of controls 3 to 1', () => {
  const sheet = readFileSync(new URL('style.css', folder), 'utf8');
  for (const theme of [1, 2]) {
    const colour = (name: string) =>
      new RegExp(`--${name}: light-dark\\((#\\w{6}), (#\\w{6})\\);`).exec(sheet)![theme]!;
    const washes = ['good', 'info', 'warn', 'bad'].map((name) => [name, `${name}-wash`, 4.5] as const);
    const texts = ['ink', 'soft', 'accent', 'bad', 'key', 'text', 'atom'].flatMap((name) =>
      ['ground', 'paper', 'sunk'].map((behind) => [name, behind, 4.5] as const),
    );
    const edges = ['ground', 'paper', 'sunk'].map((behind) => ['edge', behind, 3] as const);
    for (const [front, behind, least] of [...washes, ...texts, ...edges, ['on-accent', 'accent', 4.5] as const]) {
      const ratio = contrast(colour(front), colour(behind));
      assert.ok(ratio >= least, `${front} on ${behind}: ${ratio.toFixed(2)}`);
    }
  }
});

/** WCAG 2.2, "contrast ratio". */
function contrast(one: string, other: string): number {
  const luminance = (colour: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const c = parseInt(colour.slice(at, at + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const [dim, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright! + 0.05) / (dim! + 0.05);
}

test('The page finds in a body exactly what the server finds in it', async () => {
  const page = await load('check.js');
  const schema = object({
    email: string({ format: 'email', pattern: '^[a-z]+@[a-z]+\\.[a-z]+$', maxLength: 12 }),
    name: optional(nullable(string({ minLength: 1, maxLength: 3 }))),
    secret: optional(string({ minLength: 2, 'x-maxBytes': 4 })),
    code: optional(string({ pattern: '^[A-Z]$' })),
    id: optional(string({ format: 'uuid' })),
    at: optional(string({ format: 'date-time' })),
    role: optional(oneOf(['user', 'admin'])),
    age: optional(integer({ minimum: 1, maximum: 9 })),
    on: optional(boolean()),
    tags: optional(array(object({ tag: string() }))),
  });
  const email = 'a@a.aa';
  const values = [
    {}, null, [], 'text', 1, 1.5, true, { email }, { email: null }, { email: 1 }, { email: '' }, { email: 'nobody' },
    { email: 'aaaaaaaaa@a.aa' }, { email, name: null }, { email, name: '' }, { email, name: '𝒜𝒜𝒜' },
    { email, name: 'abcd' },
    { email, secret: 'é' }, { email, secret: 'ééé' }, { email, secret: 'a\0' }, { email, secret: 'a\ud800' },
    { email, code: 'A' }, { email, code: 'a' }, { email, id: 'x' },
    { email, id: '0198f3c2-7b6e-7d55-a3c0-0123456789AB' },
    { email, at: 'now' }, { email, at: '2026-01-31T12:00:00Z' }, { email, role: 'root' }, { email, role: 'user' },
    { email, age: 0 }, { email, age: 5 }, { email, age: 10 }, { email, age: 1.5 }, { email, age: '5' },
    { email, on: 'yes' },
    { email, tags: [] }, { email, tags: [{}, { tag: 1 }, 'x'] }, { email, 'a/b~c': 1 }, { email, constructor: 1 },
    JSON.parse('{"email":"a@a.aa","__proto__":1}'),
  ];
  const faults = values.map((value) => check(schema, value));
  assert.ok(faults.filter((found) => found.length > 0).length > 20);
  values.forEach((value, i) => assert.deepEqual(page.check(schema, value), faults[i], JSON.stringify(value)));
});

test('Rules are told in words', async () => {
  const { rulesInWords, typeInWords } = await load('words.js');
  const table: [object, string, string][] = [
    [string({ minLength: 1, maxLength: 200 }), 'string', '1 to 200 characters'],
    [nullable(string({ maxLength: 200 })), 'string or null', 'at most 200 characters'],
    [string({ minLength: 4, 'x-maxBytes': 1024 }), 'string', 'at least 4 characters, at most 1024 bytes'],
    [oneOf(['user', 'admin']), 'string', 'one of user, admin'],
    [integer({ minimum: 1, maximum: 100, default: 20 }), 'whole number', '1 to 100, 20 unless given'],
    [string({ format: 'email', pattern: '^.$' }), 'string', 'an e-mail address'],
    [string({ pattern: '^[a-z]$' }), 'string', 'matches ^[a-z]$'],
    [string({ pattern: `^${'a'.repeat(50)}$`, description: 'Many a.' }), 'string', ''],
    [array(string()), 'list of string', ''],
    [{}, 'anything', ''],
  ];
  for (const [schema, type, rules] of table) {
    assert.deepEqual([typeInWords(schema), rulesInWords(schema).join(', ')], [type, rules]);
  }
});

test('Limits are read off the headers, and a refused one counts from its next token', async () => {
  const { limitsOf } = await load('answer.js');
  const policies = '"default";q=100;w=60, "login";q=5;w=60';
  const headers = (limits: string) => new Headers({ 'RateLimit-Policy': policies, RateLimit: limits });
  const full = { name: 'default', quota: 100, windowSeconds: 60, left: 99, nextIn: undefined, fullIn: 1 };
  assert.deepEqual(limitsOf(headers('"default";r=99;t=1'), 200), [full]);
  assert.deepEqual(limitsOf(headers('"default";r=99;t=1, "login";r=0;t=12'), 429), [
    full,
    { name: 'login', quota: 5, windowSeconds: 60, left: 0, nextIn: 12, fullIn: 60 },
  ]);
  for (const odd of ['', 'nonsense', '"other";r=1;t=1', '"default"']) assert.deepEqual(limitsOf(headers(odd), 200), []);
});

test('A document with almost nothing in it, or with circles, can still be shown', async () => {
  const { readDocument } = await load('document.js');
  const { sample } = await load('words.js');
  for (const odd of [{}, { paths: null, tags: 1, components: [] }, { paths: { '/a': { get: null } } }]) {
    assert.deepEqual(readDocument(odd).operations, []);
  }
  const items = { $ref: '#/components/schemas/Tree' };
  const tree: any = { type: 'object', properties: { children: { type: 'array', items } } };
  const { operations } = readDocument({
    paths: { '/a': { get: { responses: { 200: { content: { 'application/json': { schema: tree } } }, 404: {} } } } },
    components: { schemas: { Tree: tree, Loop: { $ref: '#/components/schemas/Loop' } } },
  });
  assert.equal(operations[0].id, 'get-a');
  assert.deepEqual(operations[0].refusals, [{ status: '404', code: '', detail: '', example: undefined }]);
  assert.ok(JSON.stringify(sample(tree)));
});

test('A request copied as curl, fetch or Python is the request that was shown', async (t) => {
  const { snippets } = await load('snippets.js');
  const { requestOf } = await load('request.js');
  const seen: unknown[] = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    const { authorization, 'content-type': type } = request.headers;
    const { pathname, searchParams } = new URL(`http://any${request.url}`);
    const [path, query] = [decodeURIComponent(pathname), Object.fromEntries(searchParams)];
    seen.push({ method: request.method, path, query, authorization, type: type?.toLowerCase(), body: meaning(body) });
    response.writeHead(401).end('refused');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const words = `O'Neil "Ü" \\ $HOME \`id\` $(id) !! %20 & + ? # [1] {2} 𝒜 😀\t`;
  const value = { words, 'a b': '\n\r\u2028', none: null, yes: true, no: false, list: [1, 2.5, {}] };
  const bodies = [JSON.stringify(value), '{"n": 12345678901234567890}', `{'${words}\n`];
  const parameters = [{ name: 'id', where: 'path' }, { name: 'q', where: 'query' }];
  const values = new Map([['id', words], ['q', words]]);
  const operation = { method: 'PATCH', path: '/things/{id}', secured: true, parameters };
  const requests = [
    requestOf({ ...operation, method: 'GET' }, { values, body: undefined }, ''),
    ...bodies.map((body) => requestOf(operation, { values, body }, 't.o.k')),
  ];
  const programs: [string, string, string[]][] = [
    ['curl', 'sh', ['-c']],
    ['fetch', process.execPath, ['--input-type=module', '-e']],
    ['Python', 'python3', ['-c']],
  ];
  for (const [language, command, flags] of programs) {
    for (const { target, ...request } of requests) {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${target}`;
      const program = snippets[language]({ ...request, url });
      const answer = await run(command, [...flags, program]).catch((error: unknown) => error as Error);
      if (answer instanceof Error && /ENOENT|not found/.test(answer.message)) {
        t.diagnostic(`${language} is not installed`);
        continue;
      }
      assert.match((answer as { stdout: string }).stdout, /refused/, `${String(answer)}: ${program}`);
      const { method, body, headers } = request;
      const told = { authorization: headers.Authorization, type: headers['Content-Type'], body: meaning(body ?? '') };
      assert.deepEqual(seen.pop(), { method, path: `/things/${words}`, query: { q: words }, ...told }, language);
    }
  }
});

/** A body as what it says, unless that cannot be told without its letters. */
function meaning(body: string): unknown {
  try {
    return /\d{17}/.test(body) ? body : JSON.parse(body);
  } catch {
    return body;
  }
}
