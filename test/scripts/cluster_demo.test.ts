import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { createDatabase, withoutServer } from '../helpers/postgres.ts';
import { ROOT } from '../helpers/program.ts';

const SCRIPT = path.join(ROOT, 'scripts/cluster_demo.ts');
const redis = process.env['TEST_REDIS_URL'];
const skip = withoutServer || (redis === undefined && 'TEST_REDIS_URL is not set');

test('the demonstration explains itself, and refuses a flag that is none in a sentence', () => {
  const run = (...argv: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, ...argv], { encoding: 'utf8' });
    return [status, stderr];
  };
  assert.deepEqual(run('--help'), [0, '']);
  assert.deepEqual(run('--foo'), [2, "Unknown option '--foo'; see --help\n"]);
});

test('two instances on one Postgres and one Redis are one server to their clients', { skip }, async (t) => {
  const database = await createDatabase();
  t.after(database.drop);
  const child = spawn(process.execPath, [SCRIPT, '--database', database.url, '--redis', redis!], { cwd: ROOT });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  assert.deepEqual([code, stderr], [0, ''], stdout);
  const lines = stdout.trimEnd().split('\n');
  assert.ok(lines.length >= 7 && lines.every((line) => line.startsWith('ok ')), stdout);
  assert.match(lines[0]!, /of [1-9]\d* migrations due none is applied twice/);
});
