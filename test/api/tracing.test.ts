import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { openCollector } from '../helpers/collector.ts';
import { startServer } from '../helpers/server.ts';

// What sends spans is loaded at its first use, and a stop waits for two seconds only.
before(async () => void (await fetch('data:,')));

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${spanId}-01`;

const attributesOf = (span: any): Record<string, unknown> =>
  Object.fromEntries(span.attributes.map(({ key, value }: any) => [key, Object.values(value)[0]]));

test('a request is a span of its caller’s trace, and what it asks of the database are spans within it', async (t) => {
  const collector = await openCollector(t);
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_SERVICE_NAME: 'accounts' });
  const { access_token: token } = await server.login('ada@example.com', 'correct horse');
  const headers = { traceparent, tracestate: 'vendor=1' };
  assert.equal((await server.call('GET', '/api/v1/users/me', { token, headers })).status, 200);
  const patched = await server.call('PATCH', '/api/v1/users/me', { token, headers, body: { full_name: 'A' } });
  assert.equal(patched.status, 200);
  await server.call('GET', `/api/v1/users/${token}?q=${token}`, { token });
  const lines = server.log();
  await server.close();

  const spans = collector.spans();
  const ours = spans.filter((span) => span.traceId === traceId);
  const redis = ours.filter((span) => attributesOf(span)['db.system.name'] === 'redis');
  assert.equal(redis.length, process.env['TEST_BACKENDS']?.includes('redis') ? 2 : 0);
  const named = (name: string) => ours.filter((span) => span.name === name);
  const [me] = named('GET /api/v1/users/me');
  assert.equal(me.parentSpanId, spanId);
  assert.equal(me.traceState, 'vendor=1');
  assert.equal(attributesOf(me)['http.response.status_code'], '200');
  assert.equal(named('SELECT sessions').length, 2);
  assert.ok(named('SELECT sessions').some((span) => span.parentSpanId === me.spanId));
  const [update] = named('UPDATE users');
  assert.equal(update.parentSpanId, named('PATCH /api/v1/users/me')[0].spanId);
  assert.ok(BigInt(update.endTimeUnixNano) >= BigInt(update.startTimeUnixNano));
  assert.equal(ours.length - redis.length, 5);

  const logins = spans.filter((span) => span.name === 'POST /api/v1/auth/login');
  assert.equal(logins.length, 1);
  assert.equal(logins[0].parentSpanId, undefined);
  const event = lines.find((line) => line['event'] === 'auth.login');
  assert.equal(event?.['trace_id'], logins[0].traceId);
  assert.equal(lines.filter((line) => line['trace_id'] === traceId).length, 2);
  assert.equal(lines.filter((line) => line['msg'] === 'request' && line['trace_id'] === undefined).length, 0);
  const sent = JSON.stringify(collector.requests);
  for (const secret of ['correct horse', token, 'ada@example.com']) assert.ok(!sent.includes(secret), secret);
  assert.match(sent, /"service.name","value":\{"stringValue":"accounts"\}/);
});

test('a caller that does not sample is believed', async (t) => {
  const collector = await openCollector(t);
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
  await server.call('GET', '/readyz', { headers: { traceparent: traceparent.replace(/1$/, '0') } });
  await server.call('GET', '/healthz');
  await server.close();
  assert.deepEqual(collector.spans().map(({ name }) => name), ['GET /healthz']);
});

test('a collector that is away costs no request anything, nor the stop much', async () => {
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
  for (let i = 0; i < 20; i++) assert.equal((await server.call('GET', '/api/v1/public/ping')).status, 200);
  await server.close();
  assert.ok(server.log().some(({ msg }) => msg.startsWith('the trace collector is away')));
});

test('without a collector the log names the trace of the caller, or a new one when it gives no valid one', async () => {
  const server = await startServer();
  try {
    const table: [headers: Record<string, string>, logged: RegExp][] = [
      [{ traceparent }, new RegExp(`^${traceId}$`)],
      [{}, /^[0-9a-f]{32}$/],
      [{ traceparent: traceparent.replace('4bf', 'xyz') }, /^[0-9a-f]{32}$/],
      [{ traceparent: `${traceparent}-more` }, new RegExp(`^(?!${traceId})[0-9a-f]{32}$`)],
    ];
    for (const [headers, logged] of table) {
      await server.call('GET', '/api/v1/public/ping', { headers });
      assert.match(String(server.log().at(-1)?.['trace_id']), logged);
    }
  } finally {
    await server.close();
  }
});

test('a job is a trace of its own, with what it asks of the database within', async (t) => {
  const collector = await openCollector(t);
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, MAIL_URL: 'log:' });
  await server.login('ada@example.com');
  const body = { email: 'ada@example.com' };
  assert.equal((await server.call('POST', '/api/v1/auth/password/forgot', { body })).status, 202);
  while (!server.log().some(({ msg }) => msg === 'job done')) await sleep(5);
  await server.close();
  const spans = collector.spans();
  const job = spans.find((span) => span.name.startsWith('process '));
  assert.equal(attributesOf(job)['job.attempt'], '1');
  assert.equal(job.parentSpanId, undefined);
  assert.ok(spans.some((span) => span.parentSpanId === job.spanId && attributesOf(span)['db.query.text']));
});
