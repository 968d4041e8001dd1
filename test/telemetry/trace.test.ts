import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../src/core/errors.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { jobCall, queryCall, redisCall } from '../../src/telemetry/spans.ts';
import { createTracer } from '../../src/telemetry/trace.ts';
import type { Tracer, TracerOptions } from '../../src/telemetry/trace.ts';
import { parseTraceparent } from '../../src/telemetry/trace_context.ts';
import { createTracing } from '../../src/telemetry/tracing.ts';
import type { Traceable } from '../../src/telemetry/tracing.ts';
import { openCollector } from '../helpers/collector.ts';

// What sends spans is loaded at its first use, and closing waits for two seconds only.
before(async () => void (await fetch('data:,')));

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';
const place = `${traceId}-${spanId}`;

test('a traceparent is believed only when it is exactly right', () => {
  const valid: [string, boolean][] = [
    [`00-${place}-01`, true], [`00-${place}-00`, false], [`00-${place}-ff`, true], [`00-${place}-02`, false],
    [`01-${place}-01`, true], [`cc-${place}-01-what-comes-later`, true], [`fe-${place}-01-`, true],
    [`  00-${place}-01\t`, true],
  ];
  for (const [header, sampled] of valid) {
    assert.deepEqual(parseTraceparent(header), { traceId, spanId, sampled, tracestate: undefined }, header);
  }

  const invalid = [
    undefined, '', 'x', '-', `${place}`, `00-${place}`, `00-${place}-`, `00-${place}-0`, `00-${place}-0g`,
    `ff-${place}-01`, `FF-${place}-01`, `0-${place}-01`, `000-${place}-01`, `0x-${place}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`, `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`, `00-${traceId}-${spanId.toUpperCase()}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`, `00-${traceId}0-${spanId}-01`, `00-${traceId}-${spanId}0-01`,
    `00-${place}-01-`, `00-${place}-01-more`, `00-${place}-011`, `01-${place}-01.more`, `01-${place}-01more`,
    `00-${place}-01, 00-${place}-01`, `00_${place}_01`,
    `00-${place}-01\0`, `é0-${place}-01`, `00-${place}-01-${'x'.repeat(100_000)}`,
  ];
  for (const header of invalid) assert.equal(parseTraceparent(header, 'a=1'), undefined, String(header));
});

test('a tracestate is carried as it came when it is short and printable, and never without a traceparent', () => {
  const table: [string | undefined, string | undefined][] = [
    ['vendor=1,other=ab', 'vendor=1,other=ab'], ['x'.repeat(512), 'x'.repeat(512)], ['x'.repeat(513), undefined],
    ['a=1\r\nb: 2', undefined], ['a=é', undefined], ['', undefined], [undefined, undefined],
  ];
  for (const [given, kept] of table) assert.equal(parseTraceparent(`00-${place}-01`, given)?.tracestate, kept);
  assert.equal(parseTraceparent('nonsense', 'vendor=1'), undefined);
});

/** A tracer at a clock that stands still, and what it logs. */
function openTracer(t: TestContext, options: Partial<TracerOptions> & { endpoint: string }) {
  const logged: string[] = [];
  let tell: (() => void) | undefined;
  const sink = {
    write(line: Uint8Array) {
      logged.push(JSON.parse(String(line)).msg);
      tell?.();
      return true;
    },
    flushSync() {},
  };
  const log = createLog({ level: 'info', format: 'json', color: false, now: () => 0, sink, schedule: (run) => run() });
  const tracer = createTracer({ serviceName: 'api', now: () => 1_767_357_296_007.25, log, batchMs: 10, closeMs: 60_000, ...options });
  t.after(() => tracer.close());
  const told = async (n: number): Promise<void> => {
    while (logged.length < n) await new Promise<void>((resolve) => (tell = resolve));
  };
  return { tracer, logged, told };
}

test('a span continues the caller’s trace, or begins one', async (t) => {
  const { tracer } = openTracer(t, { endpoint: (await openCollector(t)).endpoint });
  const parent = parseTraceparent(`00-${place}-01`, 'vendor=1');
  const child = tracer.startSpan('child', 'server', parent);
  assert.equal(child.traceId, traceId);
  assert.equal(child.tracestate, 'vendor=1');
  assert.match(child.spanId, /^[0-9a-f]{16}$/);
  assert.notEqual(child.spanId, spanId);
  assert.equal(tracer.startSpan('grandchild', 'client', child).traceId, traceId);

  const ids = new Set<string>();
  for (let i = 0; i < 2_000; i++) {
    const { traceId: trace, spanId: root } = tracer.startSpan('root', 'server', undefined);
    assert.ok(parseTraceparent(`00-${trace}-${root}-01`) !== undefined);
    ids.add(trace).add(root);
  }
  assert.equal(ids.size, 4_000, 'no id comes twice');
});

test('ended spans arrive at the collector as OTLP wants them', async (t) => {
  const collector = await openCollector(t);
  let now = 1_767_357_296_007.25;
  const { tracer } = openTracer(t, { endpoint: `${collector.endpoint}/`, serviceVersion: '1.2.3', now: () => now });
  const span = tracer.startSpan('first', 'server', parseTraceparent(`00-${place}-01`, 'vendor=1'), { text: 'grüße' });
  span.set({ whole: 200, part: 0.5, truth: true, missing: undefined, huge: 2 ** 60, lone: '\ud800' });
  span.name = 'GET /x';
  now += 1.5;
  span.end('error');
  span.end('unset');
  tracer.startSpan('second', 'client', undefined).end();
  await collector.received(1);

  const [request] = collector.requests;
  assert.equal(request?.path, 'POST /v1/traces');
  assert.equal(request?.headers['content-type'], 'application/json');
  const second = collector.spans()[1];
  assert.deepEqual(request?.body, {
    resourceSpans: [{
      resource: {
        attributes: [
          { key: 'service.name', value: { stringValue: 'api' } },
          { key: 'service.version', value: { stringValue: '1.2.3' } },
        ],
      },
      scopeSpans: [{
        scope: { name: 'api' },
        spans: [{
          traceId,
          spanId: span.spanId,
          traceState: 'vendor=1',
          parentSpanId: spanId,
          name: 'GET /x',
          kind: 2,
          startTimeUnixNano: '1767357296007250000',
          endTimeUnixNano: '1767357296008750000',
          attributes: [
            { key: 'text', value: { stringValue: 'grüße' } },
            { key: 'whole', value: { intValue: '200' } },
            { key: 'part', value: { doubleValue: 0.5 } },
            { key: 'truth', value: { boolValue: true } },
            { key: 'huge', value: { doubleValue: 2 ** 60 } },
            { key: 'lone', value: { stringValue: '\ufffd' } },
          ],
          status: { code: 2 },
        }, {
          traceId: second.traceId,
          spanId: second.spanId,
          name: 'second',
          kind: 3,
          startTimeUnixNano: '1767357296008750000',
          endTimeUnixNano: '1767357296008750000',
          attributes: [],
          status: { code: 0 },
        }],
      }],
    }],
  });
});

test('what the caller does not sample is not exported, nor is what happens within it', async (t) => {
  const collector = await openCollector(t);
  const { tracer } = openTracer(t, { endpoint: collector.endpoint });
  const unsampled = tracer.startSpan('unsampled', 'server', parseTraceparent(`00-${place}-00`));
  const below = tracer.startSpan('below', 'client', unsampled);
  below.end();
  unsampled.end();
  tracer.startSpan('sampled', 'server', undefined).end();
  await collector.received(1);
  await tracer.close();
  assert.deepEqual(collector.spans().map(({ name }) => name), ['sampled']);
});

test('a full batch goes at once, and closing sends the rest', async (t) => {
  const collector = await openCollector(t);
  const { tracer } = openTracer(t, { endpoint: collector.endpoint, batchMs: 600_000 });
  for (let i = 0; i < 512; i++) tracer.startSpan(`${i}`, 'server', undefined).end();
  await collector.received(1);
  for (let i = 512; i < 1_200; i++) tracer.startSpan(`${i}`, 'server', undefined).end();
  await tracer.close();
  assert.deepEqual(collector.spans().map(({ name }) => Number(name)), Array.from({ length: 1_200 }, (_, i) => i));
  assert.equal(tracer.dropped, 0);
  tracer.startSpan('too late', 'server', undefined).end();
  assert.equal(tracer.dropped, 1);
});

const flood = (tracer: Tracer, n: number): void => {
  for (let i = 0; i < n; i++) tracer.startSpan('flood', 'server', undefined).end();
};

test('a collector that hangs holds nothing up: spans are dropped and counted, and closing is bounded', async (t) => {
  const collector = await openCollector(t, () => {});
  const { tracer } = openTracer(t, { endpoint: collector.endpoint, timeoutMs: 600_000, closeMs: 50 });
  flood(tracer, 512);
  await collector.received(1);
  flood(tracer, 3_000);
  assert.equal(tracer.dropped, 3_000 - 2_048, 'no more wait than may');
  await tracer.close();
  assert.equal(tracer.dropped, 3_512, 'all of them are accounted for');
  assert.equal(collector.requests.length, 1, 'one request at a time');
});

test('a request that takes too long is given up', async (t) => {
  let hangs = true;
  const collector = await openCollector(t, (response) => void (hangs || response.end('{}')));
  const { tracer, logged, told } = openTracer(t, { endpoint: collector.endpoint, timeoutMs: 2_000 });
  flood(tracer, 1);
  await told(1);
  hangs = false;
  assert.equal(tracer.dropped, 1);
  // On a busy machine more than one may take too long.
  for (; logged.length < 2; await sleep(20)) flood(tracer, 1);
  assert.deepEqual(logged, ['the trace collector is away: spans are dropped', 'the trace collector is back']);
});

test('a collector that refuses is told of once, and used again when it is back', async (t) => {
  const elsewhere = await openCollector(t);
  const statuses = [503, 429, 400, 302];
  const collector = await openCollector(t, (response, n) => {
    response.writeHead(statuses[n - 1] ?? 200, { location: elsewhere.endpoint }).end('{}');
  });
  const { tracer, logged, told } = openTracer(t, { endpoint: collector.endpoint });
  for (let n = 1; n <= statuses.length + 1; n++) {
    flood(tracer, 1);
    await collector.received(n);
  }
  await told(2);
  assert.deepEqual(logged, ['the trace collector is away: spans are dropped', 'the trace collector is back']);
  assert.equal(tracer.dropped, statuses.length);
  assert.equal(elsewhere.requests.length, 0, 'no redirection is followed');
});

test('a collector that is not there is found when it comes', async (t) => {
  const placeholder = createServer();
  await once(placeholder.listen(0, '127.0.0.1'), 'listening');
  const { port } = placeholder.address() as AddressInfo;
  placeholder.close();
  await once(placeholder, 'close');
  const { tracer, logged, told } = openTracer(t, { endpoint: `http://127.0.0.1:${port}` });
  flood(tracer, 1);
  await told(1);
  const collector = await openCollector(t, undefined, port);
  flood(tracer, 1);
  await told(2);
  assert.equal(collector.spans().length, 1);
  assert.deepEqual(logged, ['the trace collector is away: spans are dropped', 'the trace collector is back']);
});

/** The attributes of a received span as a plain object. */
const attributesOf = (span: any): Record<string, unknown> => Object.fromEntries(
  span.attributes.map(({ key, value }: any) => [key, Object.values(value)[0]]));

test('requests, statements, commands and jobs carry the names that OpenTelemetry gives them', async (t) => {
  const collector = await openCollector(t);
  const log = createLog({ level: 'error', format: 'json', color: false, now: () => 0, sink: { write: () => true, flushSync() {} } });
  const named = { endpoint: collector.endpoint, serviceName: 'api', serviceVersion: '1' };
  const tracing = createTracing({ ...named, log, now: () => 0, monotonic: () => 0 });
  const incoming = { ip: '127.0.0.1', userAgent: 'curl/8', traceparent: undefined, tracestate: undefined, traceId: undefined };
  const request: Traceable = { ...incoming, method: 'GET', route: '/users/{id}', status: 404 };
  const other: Traceable = { ...incoming, method: 'PROPFIND', route: '', status: 500 };
  const sql = 'SELECT id FROM users WHERE id = $1';
  const gone = Object.assign(new Error('no'), { code: 'ECONNRESET' });
  await new Promise<void>((resolve, reject) => tracing.request(request, () => {
    assert.equal(tracing.call(queryCall('sqlite', sql), () => 1), 1);
    assert.throws(() => tracing.call(jobCall('mail', 2), () => {
      throw new Failure('unavailable');
    }), Failure);
    const work = async (): Promise<void> => {
      assert.equal(await tracing.call(redisCall('EVALSHA'), async () => 2), 2);
      const insert = queryCall('postgresql', 'insert into "jobs" values ($1)');
      await assert.rejects(async () => tracing.call(insert, () => Promise.reject(gone)), gone);
    };
    work().then(resolve, reject);
  }));
  tracing.answered(request);
  tracing.request(other, () => {});
  tracing.answered(other);
  assert.equal(tracing.call(redisCall('GET'), () => 3), 3, 'outside of everything the work is just done');
  await tracing.close();

  const spans = collector.spans();
  assert.deepEqual(spans.map(({ name, kind, status }) => [name, kind, status.code]), [
    ['SELECT users', 3, 0], ['process mail', 5, 2], ['EVALSHA', 3, 0], ['INSERT jobs', 3, 2],
    ['GET /users/{id}', 2, 0], ['HTTP', 2, 2],
  ]);
  for (const span of spans.slice(0, 4)) assert.equal(span.parentSpanId, spans[4].spanId);
  assert.deepEqual(attributesOf(spans[0]), {
    'db.system.name': 'sqlite', 'db.operation.name': 'SELECT', 'db.collection.name': 'users',
    'db.query.summary': 'SELECT users', 'db.query.text': sql,
  });
  assert.deepEqual(attributesOf(spans[2]), { 'db.system.name': 'redis', 'db.operation.name': 'EVALSHA' });
  assert.equal(attributesOf(spans[1])['error.type'], 'unavailable');
  assert.equal(attributesOf(spans[3])['error.type'], 'ECONNRESET');
  assert.deepEqual(attributesOf(spans[4]), {
    'http.request.method': 'GET', 'url.scheme': 'http', 'client.address': '127.0.0.1',
    'user_agent.original': 'curl/8', 'http.route': '/users/{id}', 'http.response.status_code': '404',
  });
  assert.equal(attributesOf(spans[5])['error.type'], '500');
  assert.equal(attributesOf(spans[5])['http.request.method'], '_OTHER');
});
