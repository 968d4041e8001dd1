import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

/**
 * Another process at a SQLite file: see sqlite_process.ts for its tasks, among them any SQL that is to be held open.
 * `release` lets it finish and gives all that it said. It ends with the test at the latest.
 */
export async function otherProcess(file: string, task: string, nodeOptions: string[] = []) {
  const script = fileURLToPath(new URL('./sqlite_process.ts', import.meta.url));
  const child = spawn(process.execPath, [...nodeOptions, script, file, task], { stdio: ['pipe', 'pipe', 'inherit'] });
  after(() => void child.kill('SIGKILL')); // A failed test must not wait for it.
  const exited = once(child, 'exit');
  let said = '';
  child.stdout.on('data', (chunk) => (said += chunk));
  await Promise.race([once(child.stdout, 'data'), exited]);
  return {
    async release(): Promise<string> {
      child.stdin.end();
      assert.deepEqual(await exited, [0, null]);
      return said;
    },
  };
}
