import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { runLoad } from '../../scripts/bench/load.ts';
import type { Load, LoadResult } from '../../scripts/bench/load.ts';
import { measureNames, partNames } from '../../scripts/bench/options.ts';
import { figure, holds, median, toTable } from '../../scripts/bench/report.ts';
import type { Measure } from '../../scripts/bench/report.ts';

const folder = mkdtempSync(join(tmpdir(), 'bench-test-'));
after(() => rmSync(folder, { recursive: true }));

async function loadOn(listener: RequestListener, load: Partial<Load>): Promise<LoadResult> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const quiet = { method: 'GET' as const, path: '/', headers: {}, connections: 4, seconds: 1 };
  const result = await runLoad({ ...quiet, ...load, port });
  server.close();
  server.closeAllConnections();
  return result;
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

test('the load counts every answer, and sends method, path, headers and body as they are given', async () => {
  const seen = new Set<string>();
  let answered = 0;
  const result = await loadOn(async (request, response) => {
    seen.add(`${request.method} ${request.url} ${request.headers['x-mark']} ${await bodyOf(request)}`);
    answered += 1;
    response.end('{"status":"ok"}');
  }, { method: 'POST', path: '/here?a=1', headers: { 'X-Mark': 'm' }, body: '{"a":"b"}' });
  assert.deepEqual([...seen], ['POST /here?a=1 m {"a":"b"}']);
  assert.ok(result.requests > 0 && result.requests <= answered && answered <= result.requests + 4);
  assert.deepEqual([result.non2xx, result.socketErrors], [0, 0]);
  assert.ok(result.p50Ms <= result.p99Ms && result.p99Ms <= result.maxMs);
});

test('answers that are not 2xx and connections that break are counted', async () => {
  const failed = await loadOn((_, response) => response.writeHead(503).end('no'), {});
  assert.ok(failed.requests > 0);
  assert.equal(failed.non2xx, failed.requests);
  const broken = await loadOn((request) => request.socket.destroy(), {});
  assert.equal(broken.requests, 0);
  assert.ok(broken.socketErrors >= 4);
});

test('an answer in chunks, or one that arrives in pieces, is read to its end', async () => {
  const result = await loadOn((_, response) => {
    response.write('one');
    setImmediate(() => response.end('two'));
  }, {});
  assert.ok(result.requests > 0);
  assert.deepEqual([result.non2xx, result.socketErrors], [0, 0]);
});

test('each refresh token is sent once and its successor takes its place', async () => {
  const connections = 8;
  const first = Array.from({ length: connections + 1 }, (_, i) => `first-${i}`);
  const tokensFile = join(folder, 'tokens');
  writeFileSync(tokensFile, `${first.join('\n')}\n`);
  const good = new Set(first);
  let count = 0;
  let replayed = 0;
  const result = await loadOn(async (request, response) => {
    const token: string = JSON.parse(await bodyOf(request)).refresh_token;
    if (!good.delete(token)) replayed += 1;
    count += 1;
    good.add(`next-${count}`);
    response.end(JSON.stringify({ access_token: 'x', refresh_token: `next-${count}` }));
  }, { method: 'POST', tokensFile, connections });
  assert.ok(result.requests > first.length);
  assert.equal(replayed, 0);
});

test('a median is the middle, or the mean of the two in the middle, of what is a number', () => {
  const table: [values: number[], expected: number][] = [
    [[3], 3], [[3, 1, 2], 2], [[4, 1, 3, 2], 2.5], [[1, NaN, 3], 2], [[Infinity, 5], 5], [[], NaN],
  ];
  for (const [values, expected] of table) assert.equal(median(values), expected, String(values));
});

test('a figure has three digits that count', () => {
  const table: [value: number, expected: string][] = [
    [12345.6, '12,346'], [100, '100'], [99.94, '99.9'], [0.12345, '0.123'], [0, '0.00'], [NaN, '-'],
  ];
  for (const [value, expected] of table) assert.equal(figure(value), expected);
});

test('the table tells which goals are reached and what makes it worthless', () => {
  const least: Measure = {
    name: 'ping', floor: '100/s', server: '80/s', value: 0.8, lowest: 0.7, highest: 0.9, bound: 'least', goal: 0.75,
    aim: 0.85,
  };
  const most: Measure = { ...least, name: 'start', bound: 'most' };
  assert.deepEqual([holds(least), holds(most), holds({ ...least, value: NaN })], [true, false, false]);
  const report = { node: '24', machine: 'one', load: 'wrk', options: {}, measures: [least, most], disturbed: ['me'] };
  const text = toTable({ ...report, flagged: ['ping, server: 1 of 9 answers were not 2xx'] });
  assert.match(text, /\| ping .*≥ 0\.75.*reached \|/);
  assert.match(text, /\| start .*≤ 0\.75.*missed \|/);
  assert.match(text, /disturbed: me\n\nNOT TO BE TRUSTED:\n {2}ping, server: 1 of 9/);
});

test('a wrong option is refused in one sentence, before anything is started', () => {
  const script = join(import.meta.dirname, '../../scripts/bench.ts');
  const table: [args: string[], message: string][] = [
    [['--only', 'ping,pong'], `--only: 'pong' is none of ${[...measureNames, ...partNames].join(', ')}\n`],
    [['--only', 'limiter-redis'], 'limiter-redis: --redis URL is missing\n'],
    [['--only', 'ping,postgres'], 'postgres: --database URL is missing\n'],
    [['--rounds', '0'], '--rounds: a whole number from 1\n'],
    [['--duration', 'x'], '--duration: whole seconds from 1\n'],
    [['--set', 'PORT'], "--set: NAME=VALUE, not 'PORT'\n"],
  ];
  for (const [args, message] of table) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
    assert.deepEqual({ status, stdout, stderr }, { status: 1, stdout: '', stderr: message });
  }
  const { status, stdout } = spawnSync(process.execPath, [script, '--help'], { encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match(stdout, /^Usage: npm run bench/);
});
