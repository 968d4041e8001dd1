import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';

import { send, startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

/** The sample lines of `/metrics`, by what stands before the value. */
async function samplesOf(server: TestServer): Promise<Record<string, number>> {
  const { status, text, headers } = await server.call('GET', '/metrics');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const lines = text.trimEnd().split('\n').filter((line) => !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => {
    const space = line.lastIndexOf(' ');
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}

test('requests are counted by method, template and status, never by path', async () => {
  const server = await startServer();
  try {
    const { access_token: token } = await server.loginAdmin();
    const id = '018f0000-0000-7000-8000-000000000000';
    await server.call('GET', `/api/v1/users/${id}`, { token });
    await server.call('GET', `/api/v1/users/${id.replace('8', '9')}`, { token });
    await server.call('GET', '/nothing/here');
    await send(server.port, 'PURGE', '/nothing/here');
    const socket = connect(server.port, '127.0.0.1').end('nonsense\r\n\r\n').resume();
    await once(socket, 'close');

    const found = await samplesOf(server);
    assert.equal(found['http_requests_total{method="GET",route="/api/v1/users/{id}",status="404"}'], 2);
    assert.equal(found['http_request_duration_seconds_count{method="GET",route="/api/v1/users/{id}"}'], 2);
    assert.equal(found['http_requests_total{method="POST",route="/api/v1/auth/login",status="200"}'], 1);
    assert.equal(found['http_requests_total{method="GET",route="none",status="404"}'], 1);
    assert.equal(found['http_requests_total{method="other",route="none",status="404"}'], 1);
    assert.equal(found['http_requests_total{method="other",route="none",status="400"}'], 1);
    assert.equal(found['http_requests_in_flight'], 1, 'the one that asks');
    assert.doesNotMatch(JSON.stringify(found), new RegExp(`${id}|nothing|PURGE`));
  } finally {
    await server.close();
  }
});

test('limiter decisions and security events are counted', async () => {
  const server = await startServer({ RATE_LIMIT_DEFAULT: '2/60s' });
  try {
    const wrong = { email: 'nobody@example.com', password: 'wrong horse' };
    for (let i = 0; i < 2; i++) await server.call('POST', '/api/v1/auth/login', { body: wrong });
    for (let i = 0; i < 3; i++) await server.call('GET', '/api/v1/public/ping');
    const found = await samplesOf(server);
    assert.equal(found['rate_limit_decisions_total{policy="default",outcome="allowed"}'], 2);
    assert.equal(found['rate_limit_decisions_total{policy="default",outcome="refused"}'], 3);
    assert.equal(found['rate_limit_decisions_total{policy="login",outcome="allowed"}'], 2);
    assert.equal(found['auth_events_total{event="auth.login_failed"}'], 2);
    assert.equal(found['rate_limit_store_up'], 1);
    assert.equal(found['password_hash_queue_depth'], 0);
  } finally {
    await server.close();
  }
});

test('with METRICS_TOKEN nothing else opens /metrics, and it opens nothing else', async () => {
  const token = 'a-token-for-the-scraper';
  const server = await startServer({ METRICS_TOKEN: token });
  try {
    const { access_token: access } = await server.loginAdmin();
    const refused: [headers: Record<string, string>, code: string][] = [
      [{}, 'not_authenticated'],
      [{ Authorization: 'Basic YTpi' }, 'not_authenticated'],
      [{ Authorization: `Bearer ${access}` }, 'invalid_token'],
      [{ Authorization: `Bearer ${token}x` }, 'invalid_token'],
      [{ Authorization: `Bearer ${token.slice(1)}` }, 'invalid_token'],
      [{ Authorization: 'Bearer' }, 'invalid_token'],
    ];
    for (const [headers, code] of refused) {
      const answer = await server.call('GET', '/metrics', { headers });
      assert.deepEqual([answer.status, answer.json.code], [401, code]);
      assert.match(answer.headers['www-authenticate']!, /^Bearer /);
    }
    assert.equal((await server.call('GET', '/metrics', { token })).status, 200);
    assert.equal((await server.call('GET', '/api/v1/users/me', { token })).status, 401);
    assert.doesNotMatch(JSON.stringify(server.log()), new RegExp(token));
  } finally {
    await server.close();
  }
});

test('in production there is no /metrics without METRICS_TOKEN', async () => {
  const production = { ENVIRONMENT: 'production', JWT_SECRET: 'iVX3zQhN0m7tJ5cRk2LwYpA9sDfGeB8uT1oMvC6xKqE' };
  for (const [settings, status] of [[{}, 404], [{ METRICS_TOKEN: 'token' }, 200]] as const) {
    const server = await startServer({ ...production, ...settings });
    try {
      assert.equal((await server.call('GET', '/metrics', { token: 'token' })).status, status);
      const { json } = await server.call('GET', '/openapi.json');
      assert.equal('/metrics' in json.paths, status === 200);
    } finally {
      await server.close();
    }
  }
});

test('/metrics is not rate limited', async () => {
  const server = await startServer({ RATE_LIMIT_DEFAULT: '1/60s' });
  try {
    for (let i = 0; i < 5; i++) assert.equal((await server.call('GET', '/metrics')).status, 200);
  } finally {
    await server.close();
  }
});

const promtool = spawnSync('promtool', ['--version']).status === 0;

test('promtool finds no fault with it', { skip: promtool ? false : 'needs promtool (of Prometheus)' }, async () => {
  const server = await startServer();
  try {
    await server.login();
    const { text } = await server.call('GET', '/metrics');
    assert.match(text, /^process_resident_memory_bytes \d+$/m);
    assert.match(text, /^nodejs_eventloop_lag_seconds /m);
    const check = spawnSync('promtool', ['check', 'metrics'], { input: text });
    assert.equal(String(check.stderr) + String(check.stdout), '');
    assert.equal(check.status, 0);
  } finally {
    await server.close();
  }
});
