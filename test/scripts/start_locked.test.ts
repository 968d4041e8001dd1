import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { lockedFlags, reachOf } from '../../scripts/start_locked.ts';
import { openCollector } from '../helpers/collector.ts';
import { eventually } from '../helpers/mailbox.ts';
import { ROOT, startProgram } from '../helpers/program.ts';
import { send } from '../helpers/server.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'locked-'));
after(() => rmSync(folder, { recursive: true }));

const launcher = ['--disable-warning=ExperimentalWarning', path.join(ROOT, 'scripts/start_locked.ts')];

test('the locked server does all that a server does: accounts, mail, documentation, metrics, traces', async (t) => {
  const home = mkdtempSync(path.join(folder, 'server-'));
  const collector = await openCollector(t);
  writeFileSync(path.join(home, 'secret'), 'a secret of more than thirty-two bytes\n');
  writeFileSync(path.join(home, '.env'), 'JWT_SECRET_FILE=secret\nSCRYPT_LOG2_N=4\nSCRYPT_P=1\nREFRESH_TOKEN_TTL=1h\nMAIL_URL=file:mail\n');
  const program = await startProgram(launcher, home, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
  const call = (method: string, target: string, options = {}) => send(program.port, method, target, options);
  const account = { email: 'a@a.com', full_name: 'Alice', password: 'pass' };
  assert.equal((await call('POST', '/api/v1/auth/register', { body: account })).status, 201);
  const { json } = await call('POST', '/api/v1/auth/login', { body: { email: 'a@a.com', password: 'pass' } });
  const me = await call('GET', '/api/v1/users/me', { token: json.access_token });
  assert.equal(me.json.full_name, 'Alice');
  assert.equal((await call('POST', '/api/v1/auth/password/forgot', { body: { email: 'a@a.com' } })).status, 202);
  assert.equal((await program.line(({ kind }) => kind === 'mail.deliver')).msg, 'job done');
  assert.equal(readdirSync(path.join(home, 'mail')).length, 1);
  for (const target of ['/docs', '/openapi.json', '/metrics']) {
    assert.equal((await call('GET', target)).status, 200, target);
  }
  await eventually('readiness', async () => (await call('GET', '/readyz')).status === 200 || undefined);
  // A stop waits for two seconds only, and what sends spans is loaded at its first use.
  await collector.received(1);
  const { code, stderr } = await program.stop();
  assert.deepEqual([code, stderr], [0, '']);
  assert.ok(collector.spans().some(({ name }) => name === 'GET /api/v1/users/me'));
  assert.ok(existsSync(path.join(home, 'data/app.db')));
});

test('it keeps its process id, passes its arguments on, and tells what is wrong as the server does', async () => {
  const home = mkdtempSync(path.join(folder, 'arguments-'));
  const run = (args: string[], env = {}) => spawnSync(process.execPath, [...launcher, ...args], {
    cwd: home, encoding: 'utf8', env: { PATH: process.env['PATH'], ...env },
  });
  assert.match(run(['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
  const wrong = run(['--port', 'x']);
  assert.deepEqual([wrong.status, wrong.stderr.split(':')[0]], [1, 'PORT']);
  writeFileSync(path.join(home, 'other.env'), 'LOG_LEVEL=loud\n');
  const other = run(['--env-file', 'other.env']);
  assert.deepEqual([other.status, other.stderr.split(':')[0]], [1, 'LOG_LEVEL']);
});

/** Each line is tried on its own, in the server's place; `outcome` gets the error's code or name, or `done`. */
const attempts: Record<string, [code: string, expected: RegExp]> = {
  'reads its own code': ["fs.readFileSync(process.env.ROOT + '/src/app.ts')", /^done$/],
  'writes its data': ["fs.writeFileSync('data/x', 'x')", /^done$/],
  'reads /etc/passwd': ["fs.readFileSync('/etc/passwd')", /^ERR_ACCESS_DENIED$/],
  'lists the root': ["fs.readdirSync('/')", /^ERR_ACCESS_DENIED$/],
  'reads beside its data': ["fs.readFileSync('beside')", /^ERR_ACCESS_DENIED$/],
  'writes its own code': ["fs.writeFileSync(process.env.ROOT + '/src/new.ts', '')", /^ERR_ACCESS_DENIED$/],
  'writes elsewhere': ["fs.writeFileSync('beside', '')", /^ERR_ACCESS_DENIED$/],
  'starts a program': ["require('node:child_process').execFileSync('/bin/true')", /^ERR_ACCESS_DENIED$/],
  'loads native code': ["process.dlopen({ exports: {} }, '/lib/x.node')", /^ERR_DLOPEN_(DISABLED|FAILED)$/],
  'makes code from text': ["new Function('return 1')", /^EvalError$/],
  'reaches for __proto__': ['({}).__proto__', /^ERR_PROTO_ACCESS$/],
  'changes what every program is made of': ["'use strict'; Array.prototype.map = () => []", /^TypeError$/],
};

test('within it, what it does not need is refused', () => {
  const home = mkdtempSync(path.join(folder, 'probe-'));
  mkdirSync(path.join(home, 'data'));
  writeFileSync(path.join(home, 'beside'), 'secret');
  const reach = reachOf({ databaseUrl: `sqlite:${home}/data/app.db`, mailUrl: 'log:' }, []);
  const tries = Object.entries(attempts).map(([name, [code]]) =>
    `try { (() => { ${code} })(); outcome[${JSON.stringify(name)}] = 'done'; }
     catch (error) { outcome[${JSON.stringify(name)}] = error.code ?? error.name; }`);
  const probe = `const fs = require('node:fs'); const outcome = {};
    ${tries.join('\n')}; console.log(JSON.stringify(outcome));`;
  const run = (flags: string[]): Record<string, string> => {
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, '--input-type=commonjs', '--eval', probe], {
      cwd: home, encoding: 'utf8', env: { ROOT },
    });
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout);
  };
  const locked = run(lockedFlags(reach, process.allowedNodeEnvironmentFlags));
  for (const [name, [, expected]] of Object.entries(attempts)) assert.match(locked[name]!, expected, name);
  assert.equal(readFileSync(path.join(home, 'beside'), 'utf8'), 'secret');

  const harmless = new Set(['writes its own code', 'loads native code']);
  const source = Object.keys(attempts).filter((name) => !harmless.has(name));
  const spared = probe.replaceAll("/src/new.ts'", "/src/none/new.ts'");
  const free = spawnSync(process.execPath, ['--input-type=commonjs', '--eval', spared], {
    cwd: home, encoding: 'utf8', env: { ROOT },
  });
  const outcome = JSON.parse(free.stdout);
  for (const name of source) assert.equal(outcome[name], 'done', `${name}, without the flags`);
});

const analyze = spawnSync('systemd-analyze', ['--version']).status === 0;

const withSystemd = { skip: analyze ? false : 'needs systemd-analyze' };

test('systemd finds no fault with the unit, and little exposed', withSystemd, () => {
  const unit = path.join(folder, 'bare-api.service');
  const text = readFileSync(path.join(ROOT, 'scripts/deploy/bare-api.service'), 'utf8');
  writeFileSync(unit, text.replace('/usr/bin/node', process.execPath));
  const verify = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
  assert.equal(verify.stderr, '');
  assert.equal(verify.status, 0);
  const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', unit], { encoding: 'utf8' });
  const level = Number(/Overall exposure level for [^:]+: ([\d.]+)/.exec(stdout)?.[1]);
  assert.ok(level < 2, String(level));
});
