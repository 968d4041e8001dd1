import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ROOT } from '../helpers/program.ts';

test('a start that is refused for its settings makes nothing, neither where it runs nor where the code is', (t) => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'bare-api-start-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  cpSync(path.join(ROOT, 'src'), path.join(home, 'src'), { recursive: true, verbatimSymlinks: true });
  cpSync(path.join(ROOT, 'package.json'), path.join(home, 'package.json'));
  const before = readdirSync(home, { recursive: true });
  const { status, stderr, stdout } = spawnSync(process.execPath, ['src/main.ts'], {
    cwd: home,
    encoding: 'utf8',
    env: { PORT: 'many', HOST: '999.1.1.1', ENVIRONMENT: 'production' },
  });
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.deepEqual(stderr.match(/^[A-Z_]+/gm), ['HOST', 'PORT', 'JWT_SECRET']);
  assert.deepEqual(readdirSync(home, { recursive: true }), before);
});

test('a server that still waits for its database stops when asked', { timeout: 600_000 }, async (t) => {
  const child = spawn(process.execPath, [path.join(ROOT, 'src/main.ts')], {
    cwd: os.tmpdir(),
    env: { PORT: '0', DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', LOG_FORMAT: 'json' },
  });
  t.after(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  const [line] = await once(child.stdout, 'data');
  assert.match(String(line), /database is away/);
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
});

test('npm start passes SIGTERM on to the server, which stops as if it stood alone', { timeout: 600_000 }, async (t) => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'bare-api-npm-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const child = spawn('npm', ['start', '--silent'], {
    cwd: ROOT,
    env: {
      PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}`,
      HOME: home,
      PORT: '0',
      LOG_FORMAT: 'json',
      DATABASE_URL: `sqlite:${home}/app.db`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let log = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (log += text));
  const closed = once(child, 'close');
  while (!log.includes('listening')) await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [code] = await closed;
  assert.match(log, /"msg":"stopped"/);
  assert.equal(code, 0);
});
