import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { promisify } from 'node:util';

const child = join(import.meta.dirname, 'log_child.ts');
const run = promisify(execFile);

/** What a shell command prints, in which `"$0" "$1"` is Node running the child. */
const shell = (command: string): Promise<{ stdout: string; stderr: string }> =>
  run('sh', ['-c', command, process.execPath, child], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 });

const messages = (output: string): unknown[] => output.trimEnd().split('\n').map((line) => JSON.parse(line).msg);

test('what was logged before process.exit is written, whatever standard output is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sink-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const expected = ['line', 'line', 'line'];

  const file = join(folder, 'log');
  spawnSync(process.execPath, [child, 'exit'], { stdio: ['ignore', openSync(file, 'w'), 'inherit'] });
  assert.deepEqual(messages(readFileSync(file, 'utf8')), expected, 'a file');

  const pipe = await shell('"$0" "$1" exit | cat');
  assert.deepEqual(messages(pipe.stdout), expected, 'a pipe');

  const socket = spawn(process.execPath, [child, 'exit'], { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.deepEqual(messages(await text(socket.stdout)), expected, 'a socket');

  const nowhere = spawnSync(process.execPath, [child, 'exit'], { stdio: ['ignore', 'ignore', 'pipe'] });
  assert.deepEqual([nowhere.status, String(nowhere.stderr)], [7, ''], '/dev/null');
});

const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

test('what was logged is written to a terminal', { skip: hasScript ? false : 'needs the command script' }, async () => {
  const { stdout } = await shell('script -qec "\'$0\' \'$1\' exit" /dev/null || true');
  assert.deepEqual(messages(stdout.replaceAll('\r', '')), ['line', 'line', 'line']);
});

test('a crash is logged with its stack, behind what was logged before', async () => {
  const crashed = spawn(process.execPath, [child, 'crash'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines = (await text(crashed.stdout)).trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.msg), ['before the crash', 'crashed']);
  assert.equal(lines[1].error.name, 'TypeError');
  assert.match(lines[1].error.stack, /log_child\.ts/);
});

test('a process whose log nobody reads any more goes on', async () => {
  const pipe = await shell('{ "$0" "$1" closed; echo "status $?" >&2; } | head -n 1');
  assert.equal(pipe.stderr, 'alive\nstatus 0\n', 'a pipe');

  const socket = spawn(process.execPath, [child, 'closed'], { stdio: ['ignore', 'pipe', 'pipe'] });
  socket.stdout.destroy();
  assert.equal(await text(socket.stderr), 'alive\n', 'a socket');

  assert.equal((await shell('"$0" "$1" closed >&-')).stderr, 'alive\n', 'closed from the start');
});

test('a process whose log is not read for a while goes on, drops lines and says how many', async () => {
  for (const command of ['exec "$0" "$1" stuck', '"$0" "$1" stuck | cat']) {
    const stuck = spawn('sh', ['-c', command, process.execPath, child], { stdio: ['pipe', 'pipe', 'pipe'] });
    await once(stuck.stderr, 'data');
    stuck.stdin.end('go on\n');
    const lines = (await text(stuck.stdout)).trimEnd().split('\n').map((line) => JSON.parse(line));
    const kept = lines.filter((line) => line.msg === 'flood');
    const lost = lines.reduce((sum, line) => sum + (line.lost ?? 0), 0);
    assert.ok(lost > 0, 'more is logged than may wait');
    assert.equal(kept.length + lost, 5_000, 'every line is written whole or counted');
    assert.deepEqual(kept.map((line) => line.i), kept.map((_, i) => kept[i]?.i).sort((a, b) => a - b));
    assert.equal(lines.at(-1).msg, 'after');
  }
});

test('a process whose log is not read can still exit', { timeout: 60_000 }, async () => {
  const command = '{ "$0" "$1" unread; echo "status $?" >&2; } | sleep 600';
  const unread = spawn('sh', ['-c', command, process.execPath, child], {
    stdio: ['ignore', 'ignore', 'pipe'], detached: true,
  });
  let said = '';
  for await (const data of unread.stderr) {
    said += String(data);
    if (said.includes('status')) break;
  }
  assert.equal(said, 'leaving\nstatus 0\n');
  process.kill(-(unread.pid as number));
});
