import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';

import { BARE_ENV, ROOT } from './helpers/program.ts';
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
    const settings = { ...BARE_ENV, TERM: 'xterm', ...CHEAP, ...env };
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
    const last = lines.indexOf('  Stop         Ctrl-C; once more to stop at once');
    const facts = lines.slice(lines.indexOf('') + 1, last + 1).join('\n');
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
          '  Stop         Ctrl-C; once more to stop at once$',
      ),
    );
    for (const line of lines.slice(0, last)) assert.ok(line.length <= 80, line);
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
    assert.match(stripVTControlCharacters(shown), /stopping signal=SIGINT\n[^]*stopped\n$/);
  });

  test('NO_COLOR takes the colours away and nothing else; LOG_FORMAT=json takes the banner', async () => {
    const visit = async (port: number): Promise<void> => void (await send(port, 'GET', '/healthz'));
    const plain = await show({ NO_COLOR: '1' }, visit);
    assert.equal(plain.includes('\x1b'), false);
    assert.match(plain, /  API          http/);
    assert.match(plain, /INFO  GET    200 +\d+\.\d\d ms \/healthz/);
    assert.equal((await show({ TERM: 'dumb' }, visit)).includes('\x1b'), false, 'nor where they would not be seen');
    const json = await show({ LOG_FORMAT: 'json' }, visit);
    for (const line of json.replace('^C', '').trim().split('\n')) assert.ok(JSON.parse(line)['msg'], line);
  });
});
