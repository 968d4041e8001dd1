import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { besideTheCore, coreFiles } from '../../scripts/audit/core.ts';
import { readSources } from '../../scripts/audit/facts.ts';
import { files as readingOrder } from '../../scripts/reading_order.ts';
import { ROOT, startProgram } from '../helpers/program.ts';
import { send } from '../helpers/server.ts';

const SRC = path.join(ROOT, 'src');

test('what the audit calls the core is exactly what a server with default settings loads', async (t) => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'bare-api-core-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const list = path.join(home, 'loaded');
  const recorder = path.join(ROOT, 'test/scripts/loaded_files.ts');
  const argv = ['--import', recorder, path.join(SRC, 'main.ts')];
  const { port, stop } = await startProgram(argv, home, { LOADED_FILES: list });

  const body = { email: 'ada@example.com', password: 'correct horse' };
  assert.equal((await send(port, 'POST', '/api/v1/auth/register', { body })).status, 201);
  const login = await send(port, 'POST', '/api/v1/auth/login', { body });
  assert.equal(login.status, 200);
  const { access_token: token, refresh_token } = login.json;
  assert.equal((await send(port, 'POST', '/api/v1/auth/refresh', { body: { refresh_token } })).status, 200);
  assert.equal((await send(port, 'GET', '/api/v1/users/me', { token })).status, 200);
  assert.equal((await stop()).code, 0);

  const source = `${pathToFileURL(SRC).href}/`;
  const loaded = readFileSync(list, 'utf8').split('\n').filter((url) => url.startsWith(source));
  const files = new Set(loaded.map((url) => url.slice(source.length)));
  const core = [...files].filter((file) => !besideTheCore.some((room) => file.startsWith(`${room}/`))).sort();
  assert.deepEqual(core, coreFiles(readSources(SRC)));
});

test('the reading order holds nothing but the core, and files of types, which nothing loads', () => {
  const sources = readSources(SRC);
  const types = sources.filter(({ code }) => code.length === 0).map(({ file }) => file);
  const known = new Set([...coreFiles(sources), ...types].map((file) => `src/${file}`));
  assert.deepEqual(readingOrder.filter((file) => !known.has(file)), []);
});
