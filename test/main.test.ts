import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';

import { BARE_ENV, ROOT, startProgram } from './helpers/program.ts';
import type { Program } from './helpers/program.ts';
import { send } from './helpers/server.ts';

const MAIN = path.join(ROOT, 'src/main.ts');
const CHEAP = { SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1' };

function emptyFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-main-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a server that is to end by itself. */
async function run(cwd: string, argv: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, ...argv], { cwd, env: { ...BARE_ENV, ...env } });
  const timer = setTimeout(() => child.kill('SIGKILL'), 100_000);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, stdout, stderr, lines: stderr.split('\n').slice(0, -1) };
}

async function start(t: TestContext, cwd: string, argv: string[] = [], env = {}): Promise<Program> {
  const program = await startProgram([MAIN, ...argv], cwd, { ...CHEAP, ...env });
  t.after(() => program.child.kill('SIGKILL'));
  return program;
}

const FILES = ['app.db', 'app.db-shm', 'app.db-wal', 'app.db.key'];
const ACCOUNT = { email: 'ada@example.com', password: 'correct horse' };

suite('main', { concurrency: 2 }, () => {
  test('--help and --version answer and do nothing else', async (t) => {
    const folder = emptyFolder(t);
    const [help, version] = await Promise.all([run(folder, ['--help']), run(folder, ['-v'])]);
    assert.deepEqual([help.code, help.stderr], [0, '']);
    for (const flag of ['--host', '--port', '--workers', '--env-file', '--help', '--version']) {
      assert.ok(help.stdout.includes(flag), flag);
    }
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 80, line);
    const { version: expected } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    assert.deepEqual([version.code, version.stdout, version.stderr], [0, `${expected}\n`, '']);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('help that nobody reads to its end is no fault', async (t) => {
    const argv = ['-c', `"$0" "${MAIN}" --help 2>&1 >&3 3>&- | cat`, process.execPath];
    const child = spawn('sh', argv, { cwd: emptyFolder(t), env: BARE_ENV, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
    child.stdio[3]!.destroy();
    assert.equal(await text(child.stdout!), '');
  });

  test('flags that are none are refused in a sentence', async (t) => {
    const folder = emptyFolder(t);
    const wrong = [['--prot', '1'], ['serve'], ['--port'], ['--help=yes']];
    for (const { code, stdout, lines } of await Promise.all(wrong.map((argv) => run(folder, argv)))) {
      assert.deepEqual([code, stdout, lines.length, lines[1]], [1, '', 2, 'See: node src/main.ts --help']);
      assert.doesNotMatch(lines[0]!, / at |node:internal|Error/);
    }
    assert.deepEqual(readdirSync(folder), []);
  });

  test('every wrong setting is a line on stderr; nothing is made, and no secret shown', async (t) => {
    const folder = emptyFolder(t);
    const { code, stdout, stderr, lines } = await run(folder, ['--port', 'high'], {
      ...{ ENVIRONMENT: 'production', JWT_SECRET: 'hunter2', ACCESS_TOKEN_TTL: '15', BODY_LIMIT: 'big' },
      ...{ DATABASE_URL: 'sqlite:./made/app.db' },
    });
    assert.deepEqual([code, stdout], [1, '']);
    assert.deepEqual(
      lines.map((line) => /^(\w+): .+; accepted: .+$/.exec(line)?.[1]).sort(),
      ['ACCESS_TOKEN_TTL', 'BODY_LIMIT', 'JWT_SECRET', 'PORT'],
      stderr,
    );
    assert.ok(!stderr.includes('hunter2'));
    assert.deepEqual(readdirSync(folder), []);
  });

  test('what hinders the start is said in one sentence', async (t) => {
    const folder = emptyFolder(t);
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    t.after(() => other.close());
    const taken = String((other.address() as AddressInfo).port);
    mkdirSync(path.join(folder, 'directory'));
    writeFileSync(path.join(folder, 'short.key'), 'short\n');
    writeFileSync(path.join(folder, 'text.db'), 'this is no database at all, whatever its name may say'.repeat(20));
    const torn = path.join(folder, 'torn.db');
    const whole = new DatabaseSync(torn);
    whole.exec('CREATE TABLE a (b)');
    whole.close();
    writeFileSync(torn, readFileSync(torn).subarray(0, 4096));
    const hindrances: [sentence: RegExp, argv: string[], env?: Record<string, string>][] = [
      [/^PORT: \d+ is in use by another program; stop that, or use another port: --port \d+ /, ['--port', taken]],
      [/^HOST: \S+ is no address of this machine; accepted: one that is/, ['--host', '192.0.2.1', '--port', '0']],
      [/^HOST: \S+ is no address of this machine; accepted: one that is/, ['--host', 'nothing.invalid', '--port', '0']],
      [/^JWT_SECRET_FILE: nothing can't be read or is empty; accepted: /, [], { JWT_SECRET_FILE: 'nothing' }],
      [/^The server could not start: .*short\.key holds no key/, ['--port', '0'], { DATABASE_URL: 'sqlite:./short' }],
      [/^DATABASE_URL: \.\/text\.db is no SQLite database; accepted: /, ['--port', '0'], { DATABASE_URL: 'sqlite:./text.db' }],
      [/^DATABASE_URL: torn\.db can't be used: \w.*malformed; see /, ['--port', '0'], { DATABASE_URL: 'sqlite:torn.db' }],
      [/^DATABASE_URL: .*directory can't be used: it is a folder; /, ['--port', '0'], { DATABASE_URL: 'sqlite:./directory' }],
      [/^DATABASE_URL: .*text\.db can't be used: it is no folder; /, ['--port', '0'], { DATABASE_URL: 'sqlite:text.db/a' }],
      [/^DATABASE_URL: \/proc can't be used: [\w ]+; /, ['--port', '0'], { DATABASE_URL: 'sqlite:/proc/app.db' }],
    ];
    await Promise.all(
      hindrances.map(async ([sentence, argv, env]) => {
        const { code, lines } = await run(folder, argv, { LOG_FORMAT: 'json', ...env });
        assert.equal(code, 1, argv.join(' '));
        assert.equal(lines.length, 1, lines.join('\n'));
        assert.match(lines[0]!, sentence);
      }),
    );
  });

  test('an .env that cannot be read is said to be so', async (t) => {
    const folder = emptyFolder(t);
    mkdirSync(path.join(folder, '.env'));
    const { code, lines } = await run(folder, []);
    const said = ".env: can't be read; accepted: a file of NAME=value lines that this user may read";
    assert.deepEqual([code, lines], [1, [said]]);
    assert.notEqual((await run(folder, ['--env-file', 'nothing'])).code, 0);
    assert.deepEqual(readdirSync(folder), ['.env']);
  });

  test('in JSON format all of stdout is JSON lines; the first says where it listens, at every level', async (t) => {
    const folder = emptyFolder(t);
    const program = await start(t, folder, ['--port', '0'], { PORT: '1', LOG_LEVEL: 'error' });
    const [first, ...others] = program.log();
    const { time, ...facts } = first!;
    const url = `http://127.0.0.1:${program.port}`;
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual(facts, {
      ...{ level: 'info', msg: 'listening', url, docs: `${url}/docs`, environment: 'development' },
      ...{ database: 'sqlite', workers: 1 },
    });
    assert.deepEqual(others, []);
    assert.equal((await send(program.port, 'GET', '/nothing')).status, 404);
    assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
    assert.equal(program.log().length, 1, 'nothing else is an error');
  });

  test('a database, its log and its key are for nobody else, and the key is used again', async (t) => {
    const folder = emptyFolder(t);
    const first = await start(t, folder);
    assert.equal((await send(first.port, 'POST', '/api/v1/auth/register', { body: ACCOUNT })).status, 201);
    const { json } = await send(first.port, 'POST', '/api/v1/auth/login', { body: ACCOUNT });
    const data = path.join(folder, 'data');
    assert.deepEqual(readdirSync(data).sort(), FILES);
    for (const file of readdirSync(data)) {
      assert.equal(statSync(path.join(data, file)).mode & 0o777, 0o600, file);
    }
    assert.equal(statSync(data).mode & 0o777, 0o700);
    assert.equal((await first.stop()).code, 0);
    const second = await start(t, folder);
    const me = await send(second.port, 'GET', '/api/v1/users/me', { token: json.access_token });
    assert.deepEqual([me.status, me.json.email], [200, ACCOUNT.email]);
    assert.equal((await second.stop()).code, 0);
  });

  test('servers that start at once on nothing use one key and one database', async (t) => {
    const folder = emptyFolder(t);
    const programs = await Promise.all([1, 2, 3].map(() => start(t, folder)));
    const [first] = programs as [Program, ...Program[]];
    assert.equal((await send(first.port, 'POST', '/api/v1/auth/register', { body: ACCOUNT })).status, 201);
    const { json } = await send(first.port, 'POST', '/api/v1/auth/login', { body: ACCOUNT });
    for (const { port } of programs) {
      assert.equal((await send(port, 'GET', '/api/v1/users/me', { token: json.access_token })).status, 200);
    }
    assert.deepEqual(readdirSync(path.join(folder, 'data')).sort(), FILES);
    for (const program of programs) assert.deepEqual(await program.stop(), { code: 0, stderr: '' });
  });

  test('.env is read where the server is started, and names in it that are no settings are warned of', async (t) => {
    const folder = emptyFolder(t);
    const settings = ['DATABASE_URL=sqlite:./here.db', 'RATE_LIMIT_DEFALT=1/1s', 'DOCS_ENABLED=false'];
    writeFileSync(path.join(folder, '.env'), settings.join('\n'));
    const admin = { FIRST_ADMIN_EMAIL: 'root@example.com', FIRST_ADMIN_PASSWORD: 'correct horse' };
    const program = await start(t, folder, [], admin);
    assert.equal(program.log()[0]!['docs'], undefined);
    const warning = await program.line(({ level }) => level === 'warn');
    assert.equal(warning['msg'], '.env: RATE_LIMIT_DEFALT is not a setting; did you mean RATE_LIMIT_DEFAULT?');
    const made = await program.line(({ event }) => event === 'admin.first_created');
    assert.equal(made['email'], 'root@example.com');
    assert.ok(readdirSync(folder).includes('here.db'));
    assert.equal((await send(program.port, 'GET', '/docs')).status, 404);
    assert.equal((await program.stop()).code, 0);
    assert.ok(!JSON.stringify(program.log()).includes('correct horse'));
  });

  test('for people the start is a banner', async (t) => {
    const folder = emptyFolder(t);
    const show = async (more: Record<string, string> = {}) => {
      const env = { ...BARE_ENV, PORT: '0', LOG_FORMAT: 'pretty', DATABASE_URL: 'sqlite::memory:', ...more };
      const child = spawn(process.execPath, [MAIN], { cwd: folder, env });
      t.after(() => child.kill('SIGKILL'));
      let stdout = '';
      child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
      while (!stdout.includes('Stop')) await once(child.stdout, 'data');
      return { child, stdout };
    };
    const { child, stdout } = await show();
    for (const fact of [/http:\/\/127\.0\.0\.1:\d+\n/, /:\d+\/docs\n/, /development/, /sqlite/, /Workers +1\n/]) {
      assert.match(stdout, fact);
    }
    assert.ok(!stdout.includes('\x1b'), 'no colours where there is no terminal');
    assert.ok((await show({ FORCE_COLOR: '1' })).stdout.includes('\x1b'), 'unless somebody wants them');
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.deepEqual(readdirSync(folder), [], 'a database in memory leaves nothing behind');
  });

  test('in production it says what its parts are good for', async (t) => {
    const folder = emptyFolder(t);
    writeFileSync(path.join(folder, 'key'), 'kR8pLq2ZxVw1Ys6Db4Tn9GmHc3Jf7Ae0\n');
    const program = await start(t, folder, [], { ENVIRONMENT: 'production', JWT_SECRET_FILE: 'key' });
    await program.line(({ msg }) => msg.startsWith('SQLite serves one machine'));
    await program.line(({ msg }) => msg.startsWith('Limits hold for this process'));
    assert.ok(!readdirSync(path.join(folder, 'data')).includes('app.db.key'));
    assert.equal((await program.stop()).code, 0);
  });
});
