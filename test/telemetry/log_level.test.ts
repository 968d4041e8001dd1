import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ROOT, startProgram } from '../helpers/program.ts';
import { send } from '../helpers/server.ts';

test('SIGUSR2 lowers the log level of a running server, and a second one raises it again', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bare-api-'));
  const program = await startProgram([path.join(ROOT, 'src/main.ts')], folder, { LOG_LEVEL: 'error' });
  try {
    const ping = (): Promise<unknown> => send(program.port, 'GET', '/api/v1/public/ping');
    await ping();
    program.child.kill('SIGUSR2');
    await program.line(({ msg, lowest }) => msg === 'log level' && lowest === 'debug');
    await ping();
    await program.line(({ msg }) => msg === 'request');
    program.child.kill('SIGUSR2');
    await program.line(({ msg, lowest }) => msg === 'log level' && lowest === 'error');
    await ping();
  } finally {
    const { code } = await program.stop();
    assert.equal(code, 0);
    rmSync(folder, { recursive: true });
  }
  // A server that has run for five seconds does a job, which it may tell of.
  const said = program.log().filter(({ kind }) => kind === undefined).map(({ msg }) => msg);
  assert.deepEqual(said, ['listening', 'log level', 'request', 'log level']);
});
