import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ROOT } from '../helpers/program.ts';

test('a start that is refused for its settings makes nothing, neither where it runs nor where the code is', (t) => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'bare-api-start-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  cpSync(path.join(ROOT, 'src'), path.join(home, 'src'), { recursive: true });
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
