import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';

import { ROOT } from './helpers/program.ts';
import { send } from './helpers/server.ts';

const MAIN = path.join(ROOT, 'src/main.ts');
const CHEAP = { SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1' };
const home = mkdtempSync(path.join(tmpdir(), 'terminal-'));
after(() => rmSync(home, { recursive: true }));
const folder = (): string => mkdtempSync(path.join(home, 'start-'));

/** Runs its arguments with a terminal of their own, and hands on what is typed and shown. */
const ON_A_TERMINAL = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
const skip =
  spawnSync('python3', ['-c', 'import pty']).status !== 0 && 'python3 is not installed (apt-get install python3)';

suite('On a terminal', { skip }, () => {
  /** Starts the server there, lets it be used, and types Ctrl-C; what was shown, without carriage returns. */
  async function show(env: Record<string, string>, use: (port: number) => Promise<void> = async () => {}): Promise<string> {
    const argv = ['-c', ON_A_TERMINAL, process.execPath, MAIN, '--port', '0'];
    const settings = { PATH: process.env['PATH'], ...CHEAP, ...env };
    const child = spawn('python3', argv, { cwd: folder(), env: settings, stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(child, 'close');
    let shown = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (shown += text));
    const until = async (word: RegExp): Promise<string> => {
      for (;;) {
        const found = word.exec(stripVTControlCharacters(shown))?.[0];
        if (found !== undefined) return found;
        const ended = await Promise.race([once(child.stdout, 'data').then(() => false), exited.then(() => true)]);
        if (ended) assert.fail(shown);
      }
    };
    try {
      const url = await until(/http:[\d.:/]+(?=[\s"])/);
      await until(/create_users/);
      await use(Number(new URL(url).port));
      child.stdin.write('\x03');
      assert.deepEqual(await exited, [0, null], shown);
    } finally {
      child.kill('SIGKILL');
    }
    return shown.replaceAll('\r', '');
  }

  test('the first lines say where the server is, what it keeps and limits, and how to stop it', async () => {
    const lines = stripVTControlCharacters(await show({})).split('\n');
    const facts = lines.slice(lines.indexOf('') + 1, lines.indexOf('  Stop         Ctrl-C') + 1).join('\n');
    assert.match(
      facts,
      new RegExp(
        '^  bare-api \\d+\\.\\d+\\.\\d+\\n\\n' +
          '  API          (http://127\\.0\\.0\\.1:\\d+)\\n' +
          '  Docs         \\1/docs\\n' +
          '  Environment  development\\n' +
          '  Database     sqlite \\./data/app\\.db\\n' +
          '  Limits       100 requests in 60 s, 5 logins in 60 s per client, in memory\\n' +
          '  Workers      1\\n' +
          '  Stop         Ctrl-C$',
      ),
    );
    for (const line of lines.slice(0, lines.indexOf('  Stop         Ctrl-C'))) assert.ok(line.length <= 80, line);
  });

  test('each request is a line with its status in a colour, and Ctrl-C ends with a word', async () => {
    const shown = await show({}, async (port) => {
      for (const target of ['/api/v1/public/ping', '/api/v1/users/me', '/']) await send(port, 'GET', target);
    });
    for (const [method, colour, status, route] of [
      ['GET', 32, 200, '/api/v1/public/ping'],
      ['GET', 33, 401, '/api/v1/users/me'],
      ['GET', 36, 307, '/'],
    ] as const) {
      const line = `${method} +\x1b\\[${colour}m${status}\x1b\\[0m +\\d+\\.\\d\\d ms ${route}\x1b`;
      assert.match(shown, new RegExp(line));
    }
    assert.match(stripVTControlCharacters(shown), /stopping signal=SIGINT\n.*stopped\n$/);
  });

  test('NO_COLOR takes the colours away and nothing else; LOG_FORMAT=json takes the banner', async () => {
    const visit = async (port: number): Promise<void> => void (await send(port, 'GET', '/healthz'));
    const plain = await show({ NO_COLOR: '1' }, visit);
    assert.equal(plain.includes('\x1b'), false);
    assert.match(plain, /  API          http/);
    assert.match(plain, /INFO  GET    200 +\d+\.\d\d ms \/healthz/);
    const json = await show({ LOG_FORMAT: 'json' }, visit);
    for (const line of json.replace('^C', '').trim().split('\n')) assert.ok(JSON.parse(line)['msg'], line);
  });
});

/** Runs the server where it can not start; its last words. */
function fail(argv: readonly string[], env: Record<string, string>, cwd = folder()): string {
  const settings = { PATH: process.env['PATH'], PORT: '0', ...CHEAP, ...env };
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...argv], { cwd, env: settings, encoding: 'utf8' });
  assert.deepEqual([status, stdout], [1, ''], stderr);
  assert.doesNotMatch(stderr, /^ +at |node:|Error/m);
  return stderr;
}

test('--help fits 80 columns, names every flag and exits with 0', () => {
  const { status, stdout } = spawnSync(process.execPath, [MAIN, '--help'], { cwd: folder(), encoding: 'utf8' });
  assert.equal(status, 0);
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
  for (const flag of ['host', 'port', 'workers', 'env-file', 'help', 'version']) assert.ok(stdout.includes(`--${flag}`));
});

test('a wrong flag is named, with where to read on', () => {
  for (const [flag, word] of [['--prt', "'--prt'"], ['extra', "'extra'"], ['--port', "'--port"]] as const) {
    const said = fail([flag], {});
    assert.ok(said.includes(word), said);
    assert.match(said, /\nSee: node src\/main\.ts --help\n$/);
  }
});

test('what keeps the server from starting is said in a line, with what to do', async (t) => {
  const other = createServer();
  await once(other.listen(0, '127.0.0.1'), 'listening');
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const cwd = folder();
  writeFileSync(path.join(cwd, 'text'), 'This is a text of more than a hundred bytes. '.repeat(4));
  mkdirSync(path.join(cwd, 'folder'));
  const table: [env: Record<string, string>, said: string][] = [
    [{ PORT: String(port) }, `PORT: ${port} is in use by another program; stop that, or use another port: --port `],
    [{ HOST: '192.0.2.1' }, 'HOST: 192.0.2.1 is no address of this machine; accepted: one that is'],
    [{ DATABASE_URL: 'sqlite:text' }, 'DATABASE_URL: that file is no SQLite database; accepted: sqlite:FILE'],
    [{ DATABASE_URL: 'sqlite:text/app.db' }, "DATABASE_URL: text can't be used: "],
    [{ DATABASE_URL: 'sqlite:folder' }, "DATABASE_URL: folder can't be used: it is a folder; accepted: sqlite:FILE"],
  ];
  for (const [env, said] of table) {
    const words = fail([], env, cwd);
    assert.ok(words.startsWith(said) && words.indexOf('\n') === words.length - 1, words);
  }
});

test('wrong settings are all named at once, and nothing is made', () => {
  const cwd = folder();
  const said = fail(['--port', '99999'], { LOG_LEVEL: 'loud', ACCESS_TOKEN_TTL: 'soon', JWT_SECRET: 'hush' }, cwd);
  assert.deepEqual(said.split('\n').map((line) => line.split(':')[0]).toSorted(), [
    '', 'ACCESS_TOKEN_TTL', 'JWT_SECRET', 'LOG_LEVEL', 'PORT',
  ]);
  assert.equal(said.includes('hush'), false);
  assert.deepEqual(readdirSync(cwd), []);
});
