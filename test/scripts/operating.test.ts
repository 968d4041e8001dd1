import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { BARE_ENV, ROOT } from '../helpers/program.ts';
import { ADMIN, startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'operating-'));
after(() => rmSync(folder, { recursive: true }));

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command as an operator does, in `cwd`, with what it reads from standard input. */
async function run(
  name: string, args: readonly string[], options: { env?: object; input?: string | Buffer; cwd?: string } = {},
): Promise<Ran> {
  const { env = {}, input = '', cwd = folder } = options;
  const cheap = { SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1' };
  const child = spawn(process.execPath, [path.join(ROOT, `scripts/${name}.ts`), ...args], {
    cwd,
    env: { ...BARE_ENV, ...cheap, ...env },
  });
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

/** A server on SQLite, wherever others keep their data: these commands are for files. */
const startOnFile = (home = mkdtempSync(path.join(folder, 'server-'))): Promise<TestServer> =>
  startServer({ DATABASE_URL: `sqlite:${path.join(home, 'app.db')}` }, { folder: home });

const settingsOf = (server: TestServer) => ({ DATABASE_URL: `sqlite:${path.join(server.folder, 'app.db')}` });

const logIn = async (server: TestServer, email: string, password: string): Promise<number> =>
  (await server.call('POST', '/api/v1/auth/login', { body: { email, password } })).status;

const names = [
  'create_admin', 'set_password', 'list_users', 'end_sessions', 'migrate', 'backup', 'restore', 'rotate_key',
  'print_config',
];

test('every command explains itself within 80 columns, and refuses what it does not know with exit code 2', async () => {
  await Promise.all(names.map(async (name) => {
    const help = await run(name, ['--help']);
    assert.equal(help.code, 0, name);
    assert.ok(help.stdout.startsWith(`Usage: node scripts/${name}.ts`), help.stdout);
    assert.doesNotMatch(help.stdout, /.{81}/, name);
    for (const args of [['--nonsense'], ['one', 'two', 'three'], ['']]) {
      const { code, stdout, stderr } = await run(name, args);
      assert.deepEqual([code, stdout], [2, ''], `${name} ${args}`);
      assert.match(stderr, /^[^\n]+\n$/);
    }
  }));
});

test('no command makes a database, and each says in a sentence that there is none', async () => {
  const cwd = mkdtempSync(path.join(folder, 'none-'));
  const commands: [string, string[]][] = [
    ['create_admin', ['a@example.com']], ['set_password', ['a@example.com']], ['list_users', []],
    ['end_sessions', ['--all']], ['backup', ['copy']], ['rotate_key', []],
  ];
  for (const [name, args] of commands) {
    const { code, stderr } = await run(name, args, { cwd, input: 'correct horse\n' });
    assert.equal(code, 1, name);
    assert.match(stderr, /^There is no [^\n]+\n$/, name);
  }
  assert.deepEqual(globSync('**/*', { cwd }), []);
});

test('a database that does not answer is named by its setting, with why and without its password', async () => {
  const env = { DATABASE_URL: 'postgres://postgres:hunter2@127.0.0.1:1/app' };
  const { code, stdout, stderr } = await run('list_users', [], { env });
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /^DATABASE_URL: the database can't be used: connect ECONNREFUSED [^\n]+\n$/);
  assert.doesNotMatch(stderr, /hunter2/);
});

test('a database with another schema is left alone, and why is said in a sentence', async () => {
  const file = path.join(folder, 'alien.db');
  const env = { DATABASE_URL: `sqlite:${file}` };
  const alien = new DatabaseSync(file);
  alien.exec('CREATE TABLE alien (id)');
  const refused = async (why: RegExp): Promise<void> => {
    for (const [name, args] of [['create_admin', ['a@example.com']], ['list_users', []], ['end_sessions', ['--all']]] as const) {
      const { code, stderr } = await run(name, args, { env, input: 'correct horse\n' });
      assert.equal(code, 1, name);
      assert.match(stderr, why, name);
    }
  };
  await refused(/^The database lacks a migration: run scripts\/migrate\.ts\.\n$/);
  assert.equal((await run('migrate', [], { env })).code, 0);
  alien.exec("INSERT INTO schema_migrations VALUES (99, 'of_the_future', 'x', 0)");
  await refused(/^The database is newer than this code: [^\n]+\n$/);
  alien.close();
});

test('a file that can not be used is named, as the server names it', async () => {
  const file = path.join(folder, 'text.db');
  writeFileSync(file, 'this is no database at all, whatever its name may say'.repeat(20));
  for (const script of ['migrate', 'list_users']) {
    const { code, stderr } = await run(script, [], { env: { DATABASE_URL: `sqlite:${file}` } });
    assert.equal(code, 1);
    assert.match(stderr, /^DATABASE_URL: [^\n]+text\.db is no SQLite database; accepted: [^\n]+\n$/);
  }
});

test('wrong settings are the server’s, and named as the server names them', async () => {
  const { code, stderr } = await run('list_users', [], { env: { PORT: 'x', LOG_LEVEL: 'loud' } });
  assert.equal(code, 1);
  assert.match(stderr, /^PORT: .*\nLOG_LEVEL: .*\n$/);
});

test('accounts are made, listed, given a password and thrown out while the server runs', async () => {
  const server = await startOnFile();
  try {
    const env = settingsOf(server);
    const email = 'root@example.com';
    assert.deepEqual(await run('create_admin', [email], { env, input: 'first password\n' }),
      { code: 0, stdout: `${email} is an administrator.\n`, stderr: '' });
    assert.equal(await logIn(server, email, 'first password'), 200);
    assert.equal((await run('create_admin', [email], { env, input: 'other' })).code, 1);
    assert.equal((await run('create_admin', ['no address'], { env, input: 'other' })).code, 2);

    const { access_token: token } = await server.login('ada@example.com');
    const me = async (): Promise<any> => server.call('GET', '/api/v1/users/me', { token });
    assert.equal((await run('create_admin', ['ADA@example.com', '--promote'], { env })).code, 0);
    assert.equal((await me()).json.role, 'admin');

    const listed = await run('list_users', ['--json', '--prefix', 'ada'], { env });
    assert.deepEqual(JSON.parse(listed.stdout), (await me()).json);
    const lines = (await run('list_users', ['--role', 'admin'], { env })).stdout.trimEnd().split('\n');
    assert.deepEqual(lines.map((line) => line.split(/ +/).at(-1)).sort(), ['ada@example.com', ADMIN.email, email]);

    const short = await run('set_password', ['ada@example.com'], { env, input: 'abc' });
    assert.deepEqual([short.code, short.stderr], [1, 'The password needs 4 characters or more.\n']);
    const latin1 = await run('set_password', ['ada@example.com'], { env, input: Buffer.from('pässwörd', 'latin1') });
    assert.deepEqual([latin1.code, latin1.stderr], [1, 'The password is not UTF-8.\n'], 'nobody could type it again');
    assert.equal((await me()).status, 200);
    assert.equal((await run('set_password', ['ada@example.com'], { env, input: 'second password' })).code, 0);
    assert.equal((await me()).status, 401);
    assert.equal(await logIn(server, 'ada@example.com', 'correct horse'), 401);
    assert.equal(await logIn(server, 'ada@example.com', 'second password'), 200);

    const { access_token: other } = await server.loginAdmin();
    assert.equal((await run('end_sessions', ['ada@example.com'], { env })).code, 0);
    assert.equal((await server.call('GET', '/api/v1/users/me', { token: other })).status, 200);
    assert.match((await run('end_sessions', ['--all'], { env })).stdout, /^2 sessions/);
    assert.equal((await server.call('GET', '/api/v1/users/me', { token: other })).status, 401);
    assert.equal((await run('end_sessions', ['nobody@example.com'], { env })).code, 1);
  } finally {
    await server.close();
  }
});

test('a copy made while the server runs is sound, and restored into the running server', async () => {
  const server = await startOnFile();
  try {
    const env = settingsOf(server);
    const copy = path.join(server.folder, 'copy.db');
    await server.login('ada@example.com');
    assert.match((await run('backup', [copy], { env })).stdout, /sound, \d+ migrations, 2 users, 1 sessions/);
    assert.equal(statSync(copy).mode & 0o777, 0o600);
    assert.equal((await run('backup', [copy], { env })).code, 1, 'it is not written over');
    await server.login('grace@example.com');

    assert.equal((await run('restore', [copy], { env })).code, 1, 'nor is the database');
    assert.equal(await logIn(server, 'grace@example.com', 'correct horse'), 200);
    assert.equal((await run('restore', [copy, '--replace'], { env })).code, 0);
    assert.equal(await logIn(server, 'grace@example.com', 'correct horse'), 401);
    assert.equal(await logIn(server, 'ada@example.com', 'correct horse'), 200);
    assert.equal((await server.call('GET', '/readyz')).status, 200);

    const lock = new DatabaseSync(path.join(server.folder, 'app.db'));
    lock.exec('BEGIN IMMEDIATE');
    const locked = await run('restore', [copy, '--replace'], { env });
    assert.deepEqual([locked.code, /is locked by somebody/.test(locked.stderr)], [1, true]);
    lock.close();
    assert.equal(await logIn(server, 'ada@example.com', 'correct horse'), 200);

    const fresh = path.join(server.folder, 'elsewhere/app.db');
    assert.equal((await run('restore', [copy], { env: { DATABASE_URL: `sqlite:${fresh}` } })).code, 0);
    assert.equal(statSync(fresh).mode & 0o777, 0o600);
    assert.equal((await run('restore', [fresh, '--verify'], { env })).code, 0);
    assert.deepEqual(globSync('copy.db*', { cwd: server.folder }), ['copy.db'], 'a look leaves nothing beside it');
  } finally {
    await server.close();
  }
});

test('a copy that is cut, altered or of something else is refused', async () => {
  const server = await startOnFile();
  const copy = path.join(folder, 'copy.db');
  await run('backup', [copy], { env: settingsOf(server) });
  await server.close();
  const bytes = readFileSync(copy);
  const zeroed = Buffer.from(bytes);
  zeroed.fill(0, 4096, 8192);
  const table: [name: string, content: Buffer][] = [
    ['cut', bytes.subarray(0, bytes.length - 4096)], ['altered', zeroed], ['empty', Buffer.alloc(0)],
    ['other', Buffer.from('What is this?\n'.repeat(1000))],
  ];
  for (const [name, content] of table) {
    const file = path.join(folder, name);
    writeFileSync(file, content);
    const { code, stderr } = await run('restore', [file, '--verify']);
    assert.deepEqual([name, code], [name, 1]);
    assert.match(stderr, /^[^\n]+\n$/, name);
  }
});

test('a copy that is given up leaves nothing behind, and what is in its way is named', async () => {
  const home = mkdtempSync(path.join(folder, 'given-up-'));
  const [from, to] = [path.join(home, 'app.db'), path.join(home, 'copy.db')];
  const env = { DATABASE_URL: `sqlite:${from}` };
  await run('migrate', [], { env });
  using database = new DatabaseSync(from);
  database.exec('CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(100000000))');
  const child = spawn(process.execPath, [path.join(ROOT, 'scripts/backup.ts'), to], { env: { ...BARE_ENV, ...env } });
  const closed = once(child, 'close');
  while (!existsSync(`${to}.part`)) await sleep(1);
  child.kill('SIGINT');
  const [code] = await closed;
  assert.deepEqual(globSync('copy*', { cwd: home }), code === 0 ? ['copy.db'] : []);

  database.exec('DELETE FROM ballast; PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; DELETE FROM users; COMMIT');
  const locked = await run('backup', [path.join(home, 'other.db')], { env });
  assert.deepEqual(locked, { code: 1, stdout: '', stderr: `${from} is locked by somebody who writes to it; try again.\n` });
  assert.deepEqual(globSync('other*', { cwd: home }), []);

  const unread = await run('restore', [home, '--verify'], { env });
  assert.match(unread.stderr, /^[^\n]+given-up-\w+ can't be read\. \([^\n]+\)\n$/);
  const alien = await run('backup', [path.join(home, 'other.db')], { env: { DATABASE_URL: `sqlite:${ROOT}/LICENSE` } });
  assert.match(alien.stderr, /^[^\n]+LICENSE can't be copied to [^\n]+other\.db\. \([^\n]+\)\n$/);
});

test('migrations are listed, printed and applied', async () => {
  const cwd = mkdtempSync(path.join(folder, 'migrate-'));
  const status = await run('migrate', ['--status'], { cwd });
  assert.match(status.stdout, /^(pending  \d{4}_\w+\n)+$/);
  assert.match((await run('migrate', ['--dry-run'], { cwd })).stdout, /^-- 0001_create_users\nCREATE TABLE users/);
  assert.equal(existsSync(path.join(cwd, 'data')), false);
  assert.equal((await run('migrate', [], { cwd })).stdout, status.stdout.replaceAll('pending', 'applied'));
  assert.match((await run('migrate', ['--status'], { cwd })).stdout, /^(applied  \d{4}_\w+\n)+$/);
  assert.equal((await run('migrate', [], { cwd })).stdout, 'The schema is up to date.\n');
});

test('tokens outlive a new key, until the older ones are forgotten', async () => {
  const home = mkdtempSync(path.join(folder, 'key-'));
  const env = { DATABASE_URL: `sqlite:${path.join(home, 'app.db')}` };
  const key = path.join(home, 'app.db.key');
  let tokens = { access_token: '', refresh_token: '' };
  const statusAfterStart = async (): Promise<number> => {
    const server = await startOnFile(home);
    try {
      if (tokens.access_token === '') tokens = await server.login();
      return (await server.call('GET', '/api/v1/users/me', { token: tokens.access_token })).status;
    } finally {
      await server.close();
    }
  };
  assert.equal(await statusAfterStart(), 200);
  const before = readFileSync(key, 'utf8');
  const { code, stdout } = await run('rotate_key', [], { env });
  assert.equal(code, 0);
  const [first = '', ...rest] = readFileSync(key, 'utf8').split(/^/m);
  assert.deepEqual(rest, [before]);
  assert.ok(!stdout.includes(first.trim()));
  assert.equal(statSync(key).mode & 0o777, 0o600);
  assert.equal(await statusAfterStart(), 200);
  assert.equal((await run('rotate_key', ['--forget'], { env })).code, 0);
  assert.equal(readFileSync(key, 'utf8'), first);
  assert.equal(await statusAfterStart(), 401);
});

test('with JWT_SECRET the new key goes to a file, and what to set is said without it', async () => {
  const out = path.join(folder, 'new_key');
  const env = { JWT_SECRET: 'o'.repeat(32) };
  assert.equal((await run('rotate_key', [], { env })).code, 2);
  const { code, stdout } = await run('rotate_key', ['--out', out], { env });
  assert.equal(code, 0);
  assert.match(readFileSync(out, 'utf8'), /^[\w-]{43}\n$/);
  assert.match(stdout, /JWT_SECRET_PREVIOUS/);
  assert.ok(!stdout.includes(readFileSync(out, 'utf8').trim()) && !stdout.includes(env.JWT_SECRET));
  const again = await run('rotate_key', ['--out', out], { env });
  assert.deepEqual([again.code, again.stderr], [1, `${out} exists; name a new file.\n`]);
});

test('the settings are printed without a secret', async () => {
  const cwd = mkdtempSync(path.join(folder, 'config-'));
  writeFileSync(path.join(cwd, '.env'), 'PORT=9000\nMETRICS_TOKEN=hunter2\n');
  writeFileSync(path.join(cwd, 'secret'), 'hunter3hunter3hunter3hunter3hunter3');
  const env = {
    JWT_SECRET_FILE: 'secret', DATABASE_URL: 'sqlite:./data/x.db',
    FIRST_ADMIN_EMAIL: 'a@example.com', FIRST_ADMIN_PASSWORD: 'hunter4',
  };
  const { code, stdout } = await run('print_config', [], { env, cwd });
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /hunter/);
  for (const line of [
    'PORT=9000', 'METRICS_TOKEN=***', 'JWT_SECRET=***', 'DATABASE_URL=sqlite:./data/x.db', '# HOST=127.0.0.1',
    '# REDIS_URL=',
  ]) {
    assert.ok(stdout.split('\n').includes(line), line);
  }
  const production = { ENVIRONMENT: 'production', JWT_SECRET: 'Zk3vQ9sLw7TbX1nYp5RcUa8DhJ2mGf4E', PORT: '9001' };
  const { stdout: there } = await run('print_config', [], { env: production });
  for (const line of ['# PASSWORD_MIN_LENGTH=8', '# PUBLIC_URL=http://127.0.0.1:9001']) {
    assert.ok(there.split('\n').includes(line), line);
  }
  const { stdout: json } = await run('print_config', ['--json'], { env, cwd });
  assert.equal(JSON.parse(json).PORT, '9000');
  assert.equal(JSON.parse(json).METRICS_TOKEN, '***');
});

test('of a secret URL only what logs in is hidden', async () => {
  const { shown } = await import('../../scripts/print_config.ts');
  const table: [Parameters<typeof shown>[0], string, string][] = [
    ['DATABASE_URL', 'postgres://me:p%40ss@db:5432/app?sslmode=require', 'postgres://***@db:5432/app?sslmode=require'],
    ['DATABASE_URL', 'postgres://db/app?user=me&password=hunter2', 'postgres://db/app?user=me&password=***'],
    ['REDIS_URL', 'rediss://:hunter2@cache:6379/1', 'rediss://***@cache:6379/1'],
    ['MAIL_URL', 'smtp://me@example.com:hunter2@mail:587', 'smtp://***@mail:587'],
    ['MAIL_URL', 'file:./data/mail', 'file:./data/mail'],
    ['MAIL_FROM', 'Me <me@example.com>', 'Me <me@example.com>'],
  ];
  for (const [name, given, expected] of table) assert.equal(shown(name, given), expected);
});

const script = spawnSync('script', ['--version']).status === 0;

const onTerminal = { skip: script ? false : 'needs script (of util-linux)' };

test('on a terminal the password is asked for twice and not shown', onTerminal, async () => {
  const server = await startOnFile();
  try {
    const command = `${process.execPath} ${path.join(ROOT, 'scripts/create_admin.ts')} typed@example.com`;
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      cwd: folder,
      env: { ...BARE_ENV, ...settingsOf(server), SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1' },
    });
    const typed = [['New password: ', 'hunterx\x7f2\r'], ['The same again: ', 'hunter2\r']];
    let shown = '';
    child.stdout.setEncoding('utf8').on('data', (output: string) => {
      shown += output;
      const [prompt = '', keys = ''] = typed[0] ?? [];
      if (prompt === '' || !shown.includes(prompt)) return;
      typed.shift();
      child.stdin.write(keys);
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 0, shown);
    assert.match(shown, /is an administrator/);
    assert.doesNotMatch(shown, /hunter/);
    assert.equal(await logIn(server, 'typed@example.com', 'hunter2'), 200);
  } finally {
    await server.close();
  }
});
