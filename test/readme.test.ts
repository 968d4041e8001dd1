import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';

import { files, linesOf } from '../scripts/reading_order.ts';
import { copyProject, hasCompiler, runIn, typeFaults } from './helpers/copy.ts';
import { ROOT, startProgram } from './helpers/program.ts';
import { send } from './helpers/server.ts';

const README = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const MAIN = path.join(ROOT, 'src/main.ts');
const CHEAP = { SCRYPT_LOG2_N: '4', SCRYPT_R: '1', SCRYPT_P: '1' };

/** A section of README: what follows its heading. */
const section = (title: string): string => README.split(/^## /m).find((part) => part.startsWith(`${title}\n`))!;

/** The code blocks of a language in a part of README. */
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code]) => code!);

const folder = mkdtempSync(path.join(tmpdir(), 'readme-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const hasCurl = spawnSync('curl', ['--version']).status === 0 && spawnSync('bash', ['--version']).status === 0;

test('Every line of the tour gives the answer that is below it', { skip: !hasCurl && 'needs bash and curl' }, async () => {
  const server = await startProgram([MAIN], folder, CHEAP);
  const lines = blocks(section('A tour'), 'sh').join('').split('\n').filter((line) => line !== '');
  const commands: string[] = [];
  const answers: [command: string, answer: string][] = [];
  for (const line of lines) {
    const [, answer] = /^# → (.*)$/.exec(line) ?? [];
    if (answer === undefined) commands.push(line.replace('127.0.0.1:8000', `127.0.0.1:${server.port}`), 'echo "\x01"');
    else answers.push([commands.at(-2)!, answer]);
  }
  const run = promisify(execFile)('bash', ['-euo', 'pipefail', '-c', commands.join('\n')]);
  const { stdout, stderr } = await run.finally(() => server.stop());
  assert.equal(stderr, '');
  const said = stdout.replaceAll('\r', '').replaceAll('\n', '').split('\x01');
  assert.ok(answers.length >= 8);
  for (const [command, answer] of answers) {
    const pattern = new RegExp(`^${answer.split('…').map(RegExp.escape).join('.*')}$`);
    assert.match(said[commands.indexOf(command) / 2]!, pattern, command);
  }
});

suite('In a copy', () => {
  const copy = copyProject();

  test('the lines of "Deploying" start a server in production', { skip: !hasCurl && 'needs bash' }, async () => {
    const [script = ''] = blocks(section('Deploying'), 'sh');
    const command = script.replace(/^node src\/main\.ts$/m, 'exec node src/main.ts --port 0');
    assert.notEqual(command, script);
    const env = { PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}`, LOG_FORMAT: 'json' };
    const child = spawn('bash', ['-euc', command], { cwd: copy, env, stdio: ['ignore', 'pipe', 'inherit'] });
    const [first] = await once(child.stdout, 'data');
    assert.match(String(first), /^\{.*"msg":"listening".*"environment":"production"/);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  test('the route, the setting and the table of "Making it yours" are ten lines or so and work', async () => {
    const patches = blocks(section('Making it yours'), 'diff');
    assert.equal(patches.length, 3);
    for (const patch of patches) {
      const added = patch.split('\n').filter((line) => /^\+(?!\+\+)./.test(line));
      assert.ok(added.length <= 15, `${added.length} lines`);
      apply(patch, copy);
    }
    const checks = [
      ['--disable-warning=ExperimentalWarning', 'scripts/check_layers.ts'],
      ['--test', '--test-isolation=none', ...['settings', 'core/config', 'http/openapi_clients'].map((name) =>
        `test/${name}.test.ts`)],
    ];
    for (const argv of checks) {
      const { status, stdout, stderr } = runIn(copy, ...argv);
      assert.equal(status, 0, stdout + stderr);
    }
    const server = await startProgram(['src/main.ts'], copy, { ...CHEAP, GREETING: 'ciao' });
    const greetings = [];
    for (let i = 0; i < 2; i++) greetings.push((await send(server.port, 'GET', '/api/v1/public/greeting')).json);
    assert.deepEqual(greetings, [{ text: 'ciao', visits: 1 }, { text: 'ciao', visits: 2 }]);
    assert.equal((await server.stop()).code, 0);
  });

  test('they compile', { skip: !hasCompiler && 'needs npm ci' }, () => {
    assert.equal(typeFaults(copy), '');
  });
});

/** Applies what README shows: `---` and `+++` name a file that changes or is new, `@@` parts places in it. */
function apply(patch: string, root: string): void {
  for (const part of patch.split(/^(?=(?:---|\+\+\+) )/m)) {
    const [head = '', ...lines] = part.trimEnd().split('\n');
    const [sign, name = ''] = head.split(' ');
    const file = path.join(root, name.replace('NNNN', nextVersion(path.join(root, path.dirname(name)))));
    const body = lines.join('\n');
    if (sign === '+++') {
      writeFileSync(file, `${body.replace(/^\+/gm, '')}\n`, { flag: 'wx' });
      continue;
    }
    for (const hunk of body.split('\n@@\n')) {
      const text = readFileSync(file, 'utf8');
      const side = (other: string): string =>
        hunk.split('\n').filter((line) => !line.startsWith(other)).map((line) => `${line.slice(1)}\n`).join('');
      const [before, now] = [side('+'), side('-')];
      const places = `\n${text}`.split(`\n${before}`).length - 1;
      assert.equal(places, 1, `${name} has ${places} places for\n${before}`);
      writeFileSync(file, `\n${text}`.replace(`\n${before}`, () => `\n${now}`).slice(1));
    }
  }
}

function nextVersion(folder: string): string {
  const versions = existsSync(folder) ? readdirSync(folder).map((file) => parseInt(file, 10)) : [];
  return String(Math.max(0, ...versions.filter(Number.isInteger)) + 1).padStart(4, '0');
}

test('The reading order names files that are there, with their lines to a tenth', () => {
  const rows = [...README.matchAll(/^\| `(src\/[\w/.]+)` \| (\d+) \|/gm)];
  assert.deepEqual(rows.map(([, file]) => file), files);
  for (const [, file, lines] of rows) {
    const now = linesOf(file!);
    const message = `${file} has ${now} lines: node scripts/reading_order.ts --write`;
    assert.ok(Math.abs(Number(lines) - now) <= Math.max(10, now / 10), message);
  }
});

test('The comparison counts the lines of src/ to a tenth, and no package', () => {
  const [, lines = ''] = /^\| lines to audit \| \*\*([\d,]+)\*\* \|/m.exec(README) ?? [];
  const now = globSync('src/**/*.{ts,sql}', { cwd: ROOT }).reduce((sum, file) => sum + linesOf(file), 0);
  assert.ok(Math.abs(Number(lines.replace(',', '')) - now) <= now / 10, `src/ has ${now} lines`);
  const { dependencies = {} } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  assert.match(README, new RegExp(`^\\| packages installed \\| \\*\\*${Object.keys(dependencies).length}\\*\\* `, 'm'));
});

test('Every script that README names is there', () => {
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const npm = [...README.matchAll(/npm (?:run )?([a-z][a-z:]+)(?=[`\s])/g)].map(([, name]) => name!);
  assert.ok(npm.length > 4);
  for (const name of npm) assert.ok(name === 'ci' || name in scripts, `npm run ${name}`);
  const programs = [...README.matchAll(/node ((?:scripts|src)\/[\w/]+\.ts)/g)].map(([, file]) => file!);
  assert.ok(programs.length > 4);
  for (const file of programs) assert.ok(existsSync(path.join(ROOT, file)), file);
  for (const [, file] of README.matchAll(/`((?:src|scripts|test)\/[\w/.]+)`/g)) {
    assert.ok(existsSync(path.join(ROOT, file!)), file);
  }
});
