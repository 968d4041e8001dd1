import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { createLog } from '../../src/telemetry/log.ts';
import type { Log, LogOptions, RequestLine } from '../../src/telemetry/log.ts';

const noon = Date.UTC(2026, 0, 2, 12, 34, 56, 7);

/** A log whose text piles up in `written`; batches are handed over when `pass` is called, as time would do it. */
function openLog(options: Partial<LogOptions> = {}): { log: Log; written: string[]; pass: () => void } {
  const written: string[] = [];
  const due: (() => void)[] = [];
  const sink = { write: (lines: Uint8Array) => written.push(String(lines)) > 0, flushSync: () => {} };
  const log = createLog({
    level: 'info', format: 'json', color: false, now: () => noon, sink, schedule: (run) => due.push(run), ...options,
  });
  return { log, written, pass: () => due.splice(0).forEach((run) => run()) };
}

/** What one call writes, as text. */
function textOf(act: (log: Log) => void, options: Partial<LogOptions> = {}): string {
  const { log, written } = openLog(options);
  act(log);
  log.flush();
  return written.join('');
}

const lineOf = (act: (log: Log) => void): Record<string, any> => JSON.parse(textOf(act));

const request: RequestLine = {
  requestId: 'b1946ac92492d2347c6235b4d2611184',
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  method: 'DELETE',
  route: '/api/v1/users/{id}',
  status: 200,
  durationMs: 1.23456,
  ip: '203.0.113.254',
  userId: '0190b6c4-7a1e-7c3f-9f3a-21bc9f3a21bc',
};

test('a request is one JSON object with the names that were promised', () => {
  assert.deepEqual(lineOf((log) => log.request(request)), {
    time: '2026-01-02T12:34:56.007Z',
    level: 'info',
    msg: 'request',
    request_id: request.requestId,
    trace_id: request.traceId,
    method: 'DELETE',
    route: '/api/v1/users/{id}',
    status: 200,
    duration_ms: 1.235,
    ip: '203.0.113.254',
    user_id: request.userId,
  });
});

test('what a request has not is left out, and a 5xx is an error', () => {
  const { requestId, method, ip } = request;
  const line = lineOf((log) => log.request({ requestId, method, route: '', status: 503, durationMs: 12, ip }));
  assert.deepEqual(Object.keys(line), [
    'time', 'level', 'msg', 'request_id', 'method', 'route', 'status', 'duration_ms', 'ip']);
  assert.equal(line['level'], 'error');
  assert.equal(line['duration_ms'], 12);
});

test('the time follows the clock across milliseconds, seconds and back', () => {
  const longAgo = Date.UTC(1999, 11, 31, 23, 59, 59, 999);
  const times = [noon, noon + 0.9, noon + 1, noon + 993, noon + 60_000, noon - 1, longAgo];
  for (const time of times) {
    const text = textOf((log) => log.info('x'), { now: () => time });
    assert.equal(JSON.parse(text).time, new Date(Math.floor(time)).toISOString());
  }
  let now = noon;
  const { log, written } = openLog({ now: () => now });
  for (now of times) log.info('x');
  log.flush();
  const read = written.join('').trim().split('\n').map((line) => JSON.parse(line).time);
  assert.deepEqual(read, times.map((time) => new Date(Math.floor(time)).toISOString()));
});

const hostile = [
  'two\nlines', 'carriage\rreturn', '\r\n{"level":"info","msg":"forged"}', '\x1b[2J\x1b]0;title\x07', 'nul\0',
  '\x7f\x9b31m',
  '\u2028\u2029', '\u202eright to left\u2066', 'lone \ud800 and \udc00', '"quotes" and \\ and \\u0041', '\t', '',
  '😀 grüße', '__proto__', '\\"', '%s %d \x85',
];
/** Only what stands on the screen as it is written: nothing that moves a cursor, ends a line or turns text around. */
const printable = /^(?:[^\p{C}\u2028\u2029])*$/u;

test('no text can end a line, steer a terminal or turn text around, in either format', () => {
  for (const text of hostile) {
    const error = new Error(text, { cause: text });
    const act = (log: Log): void => {
      log.info(text, { field: text, [`name ${text}`]: text, deep: { list: [text], [text]: 1 } });
      log.event(text, { error });
      log.request({ ...request, requestId: text, method: text, route: text, ip: text, userId: text, traceId: text });
    };
    const json = textOf(act);
    assert.equal(json.split('\n').length, 4, JSON.stringify(text));
    for (const line of json.trimEnd().split('\n')) assert.match(line, printable);
    const [first, second, third] = json.trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.equal(first.msg, text);
    assert.equal(first.field, text);
    assert.equal(first.deep.list[0], text);
    assert.equal(second.event, text);
    assert.equal(second.error.message, text);
    assert.equal(third.request_id, text);

    const pretty = textOf(act, { format: 'pretty' });
    for (const line of pretty.trimEnd().split('\n')) {
      assert.match(line, printable);
      assert.match(line, /^(12:34:56\.007 | {4})/, 'only our own lines begin at the margin');
    }
    const painted = textOf(act, { format: 'pretty', color: true });
    assert.equal(stripVTControlCharacters(painted), pretty, 'colours are all that is added');
  }
});

test('in pretty format a text of several lines is there to be read', () => {
  const mail = 'To: a@example.com\n\nthe token:\n\n12:34:56.007 ERROR no line of ours\n';
  const expected = ['To: a@example.com', '', 'the token:', '', '12:34:56.007 ERROR no line of ours', ''];
  const pretty = textOf((log) => log.announce(mail), { format: 'pretty' });
  assert.equal(pretty, `12:34:56.007 INFO  ${expected.join('\n    ')}\n`);
});

test('a field cannot pass for what the line says of itself', () => {
  const line = lineOf((log) => log.info('true', { time: 'a', level: 'b', msg: 'c', event: 'd' }));
  assert.equal(line['msg'], 'true');
  assert.equal(line['level'], 'info');
  assert.equal(line['event'], undefined);
  assert.equal(line['event_'], 'd');
});

test('a field with a secret’s name is not written, however deep it lies', () => {
  const names = [
    'password', 'new_password', 'token', 'access_token', 'refresh_token', 'Authorization', 'cookie', 'set-cookie',
    'JWT_SECRET', 'client_secret', 'apiKey', 'api_key', 'passwd', 'accessToken',
  ];
  for (const name of names) {
    for (const format of ['json', 'pretty'] as const) {
      const text = textOf((log) => {
        log.info('x', { [name]: 'hunter2', deep: [{ headers: { [name]: { inner: 'hunter2' } } }] });
        log.event('auth.login', { [name]: 'hunter2' });
      }, { format });
      assert.doesNotMatch(text, /hunter2/, name);
      assert.match(text, /\[redacted\]/);
    }
  }
  assert.equal(lineOf((log) => log.info('x', { user_id: 'kept', policy: 'kept' }))['user_id'], 'kept');
});

test('an error is written with its name, message, code, frames and causes', () => {
  const cause = Object.assign(new TypeError('inner'), { code: 'ECONNREFUSED' });
  const { error } = lineOf((log) => log.error('failed', { error: new RangeError('outer', { cause }) }));
  assert.equal(error.name, 'RangeError');
  assert.equal(error.message, 'outer');
  assert.match(error.stack, /^at .*log\.test\.ts/);
  assert.equal(error.cause.name, 'TypeError');
  assert.equal(error.cause.code, 'ECONNREFUSED');

  const several = lineOf((log) => log.error('x', { error: new AggregateError([new Error('one'), 'two'], 'all') }));
  assert.equal(several['error'].errors[0].message, 'one');
  assert.equal(several['error'].errors[1], 'two');

  const outer = new RangeError('outer', { cause });
  const pretty = textOf((log) => log.error('failed', { error: outer }), { format: 'pretty' });
  assert.match(pretty, /^12:34:56\.007 ERROR failed\n {4}RangeError: outer\n {6}at .*\n/);
  assert.match(pretty, /\n {4}caused by TypeError: inner code=ECONNREFUSED\n {6}at /);
});

test('a long message does not push the frames out of a stack', () => {
  const { error } = lineOf((log) => log.error('x', { error: new Error('a'.repeat(100_000)) }));
  assert.match(error.stack, /^at .*log\.test\.ts/);
});

test('every line is bounded, whatever is in it', () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  circular['list'] = Array.from({ length: 100 }, () => circular);
  const chain = new Error('first');
  chain.cause = chain;
  let deep: unknown = 1;
  for (let i = 0; i < 10_000; i++) deep = [deep];
  const table: Record<string, unknown> = {
    text: 'x'.repeat(10_000_000),
    list: Array.from({ length: 100_000 }, (_, i) => i),
    texts: Array.from({ length: 1_000 }, () => 'x'.repeat(10_000)),
    nested: Array.from({ length: 32 }, () => Array.from({ length: 32 }, () => Array.from({ length: 32 }, () => 1))),
    object: Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`name${i}`, i])),
    name: { ['n'.repeat(1_000_000)]: 1 },
    circular, chain, deep,
    errors: new AggregateError(Array.from({ length: 1_000 }, () => new Error('x'.repeat(5_000), { cause: chain }))),
    bytes: Buffer.alloc(1_000_000),
  };
  for (const [name, value] of Object.entries(table)) {
    const text = textOf((log) => log.info('x'.repeat(1_000_000), { value }));
    assert.ok(text.length < 64_000, `${name}: ${text.length}`);
    assert.equal(JSON.parse(text).level, 'info', name);
  }
});

test('a value that cannot be read costs itself, not the line', () => {
  const broken = new Proxy({}, { ownKeys: () => { throw new Error('no'); } });
  const getter = { get trap(): never { throw new Error('no'); } };
  const line = lineOf((log) => {
    log.info('x', { broken, getter, big: 12n, when: new Date(NaN), nan: NaN, f() {}, u: undefined });
  });
  assert.equal(line['broken'], '[unreadable]');
  assert.equal(line['getter'], '[unreadable]');
  assert.equal(line['big'], '12');
  assert.equal(line['when'], '[invalid date]');
  assert.equal(line['nan'], 'NaN');
  assert.equal(line['f'], '[function]');
  assert.equal('u' in line, false);
});

test('the level may be changed while the log is in use, and the announcement is written at any', () => {
  const { log, written } = openLog({ level: 'error' });
  const all = (): void => {
    log.debug('debug');
    log.info('info');
    log.warn('warn');
    log.error('error');
    log.event('event', {});
    log.event('event at warn', {}, 'warn');
    log.request(request);
    log.request({ ...request, status: 500 });
    log.announce('announced');
  };
  const messages = (): string[] => {
    written.length = 0;
    all();
    log.flush();
    return written.join('').trim().split('\n').map((line) => JSON.parse(line).msg);
  };
  assert.deepEqual(messages(), ['error', 'request', 'announced']);
  assert.equal(log.level, 'error');
  log.level = 'warn';
  assert.deepEqual(messages(), ['warn', 'error', 'event at warn', 'request', 'announced']);
  log.level = 'info';
  assert.deepEqual(messages(), [
    'info', 'warn', 'error', 'event', 'event at warn', 'request', 'request', 'announced']);
  log.level = 'debug';
  assert.equal(log.level, 'debug');
  assert.equal(messages()[0], 'debug');
});

test('lines are handed over together: when it is time, when 64 KB have come together, and when flushed', () => {
  const { log, written, pass } = openLog();
  for (let i = 0; i < 10; i++) log.info('waits');
  assert.equal(written.length, 0);
  pass();
  assert.equal(written.length, 1);
  assert.equal(written[0]?.trim().split('\n').length, 10);
  pass();
  assert.equal(written.length, 1, 'nothing is written when nothing waits');

  for (let i = 0; i < 100; i++) log.info('x'.repeat(1_000));
  assert.equal(written.length, 2, 'a full batch does not wait for the time');
  log.flush();
  assert.equal(written.length, 3);
  log.close();
  log.info('last words');
  assert.equal(written.length, 4, 'after closing nothing waits');
});

test('lines keep their order, whatever their length, and those of another thread stand where they came', () => {
  const { log, written } = openLog();
  const long = 'ü'.repeat(2_000);
  log.info('first');
  for (let i = 0; i < 40; i++) log.info(long, { i });
  log.info('fields', { a: long, b: long, c: long, d: long, e: long, f: long, g: long, h: long });
  log.relay(Buffer.from('{"msg":"relayed"}\n{"msg":"relayed too"}\n'));
  log.info('last');
  log.flush();
  const lines = written.join('').trimEnd().split('\n').map((line) => JSON.parse(line));
  const numbered = Array.from({ length: 40 }, (_, i) => `${long} ${i}`);
  assert.deepEqual(
    lines.map(({ msg, i }) => (i === undefined ? msg : `${msg} ${i}`)),
    ['first', ...numbered, 'fields', 'relayed', 'relayed too', 'last'],
  );
});

test('each request line has its own route, outcome, time and level', () => {
  let at = noon;
  const { log, written } = openLog({ now: () => at });
  const told = [
    { route: '/a', method: 'GET', status: 200 }, { route: '/a', method: 'GET', status: 500 },
    { route: '/a', method: 'POST', status: 200 }, { route: '/b', method: 'GET', status: 200 },
    { route: '/a', method: 'GET', status: 200 },
  ];
  for (const each of told) {
    log.request({ ...request, ...each });
    at += 1;
  }
  log.flush();
  const lines = written.join('').trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ route, method, status }) => ({ route, method, status })), told);
  assert.deepEqual(lines.map(({ level }) => level), ['info', 'error', 'info', 'info', 'info']);
  assert.deepEqual(lines.map(({ time }) => time.slice(-4)), ['007Z', '008Z', '009Z', '010Z', '011Z']);
});

test('milliseconds have three decimals', () => {
  for (const [ms, text] of [[0, '0.000'], [0.0004, '0.000'], [0.0005, '0.001'], [0.012, '0.012'], [0.5, '0.500'], [12, '12.000'], [1234.5678, '1234.568']] as const) {
    assert.match(textOf((log) => log.request({ ...request, durationMs: ms })), new RegExp(`"duration_ms":${text},`));
  }
});

test('lines that the sink does not take are counted, and the count is written when it takes lines again', () => {
  const taken: string[] = [];
  let stuck = true;
  const sink = { write: (lines: Uint8Array) => !stuck && taken.push(String(lines)) > 0, flushSync: () => {} };
  const { log } = openLog({ sink });
  log.info('lost');
  log.info('lost');
  log.flush();
  log.info('lost');
  log.flush();
  stuck = false;
  log.info('kept');
  log.flush();
  log.info('kept too');
  log.flush();
  const lines = taken.join('').trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.lost ?? line.msg), [3, 'kept', 'kept too']);
  assert.equal(lines[0].level, 'warn');
});

test('a request fits into 100 columns of a terminal', () => {
  const longest = { ...request, route: '/api/v1/users/me/sessions/{id}', durationMs: 12345.6 };
  const line = textOf((log) => log.request(longest), { format: 'pretty' }).trimEnd();
  assert.equal(
    line, '12:34:56.007 INFO  DELETE 200   12346 ms /api/v1/users/me/sessions/{id} 203.0.113.254 user …9f3a21bc');
  assert.ok(line.length <= 100, String(line.length));
  const unmatched = { ...request, route: '', status: 500, userId: undefined };
  assert.equal(
    textOf((log) => log.request(unmatched), { format: 'pretty' }),
    '12:34:56.007 ERROR DELETE 500    1.23 ms - 203.0.113.254 request_id=b1946ac92492d2347c6235b4d2611184\n');
});
