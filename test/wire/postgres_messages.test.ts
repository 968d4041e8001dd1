import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Frames, readChanges, readColumns, readError, readRow } from '../../src/wire/postgres_messages.ts';
import { MessageWriter } from '../../src/wire/postgres_writer.ts';

const int16 = (value: number): Buffer => Buffer.of((value >> 8) & 255, value & 255);
const int32 = (value: number): Buffer => Buffer.of(value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255);
const text = (value: string): Buffer => Buffer.concat([Buffer.from(value), Buffer.of(0)]);
const framed = (type: string, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
};
const row = (...values: (string | null)[]): Buffer =>
  Buffer.concat([
    int16(values.length),
    ...values.map((value) =>
      value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
    ),
  ]);
const column = (name: string, type: number): Buffer =>
  Buffer.concat([text(name), int32(0), int16(0), int32(type), int16(-1), int32(-1), int16(0)]);

function framesOf(chunks: readonly Buffer[], trusted = true): string[] {
  const frames = new Frames();
  frames.trusted = trusted;
  const seen: string[] = [];
  for (const chunk of chunks) {
    frames.push(chunk, (type, buffer, start, end) => {
      seen.push(String.fromCharCode(type) + buffer.toString('latin1', start, end));
    });
  }
  return seen;
}

test('messages are found however the stream is cut', () => {
  const completed = [framed('C', text('SELECT 1')), framed('Z', Buffer.from('I'))];
  const stream = Buffer.concat([framed('1'), framed('D', row('abc', null)), ...completed]);
  const whole = framesOf([stream]);
  assert.equal(whole.length, 4);
  for (let at = 0; at <= stream.length; at += 1) {
    assert.deepEqual(framesOf([stream.subarray(0, at), stream.subarray(at)]), whole, `cut at ${at}`);
  }
  assert.deepEqual(framesOf([...stream].map((byte) => Buffer.of(byte))), whole, 'byte by byte');
});

test('what is no message is refused from its first five bytes', () => {
  const head = (type: string, length: number): Buffer => Buffer.concat([Buffer.from(type), int32(length)]);
  for (const [bytes, reason] of [
    [Buffer.from('HTTP/1.1 400 Bad Request'), /no message/],
    [Buffer.alloc(5), /no message/],
    [head('D', 3), /3 bytes/],
    [head('D', 0), /0 bytes/],
    [head('D', -1), /-1 bytes/],
    [head('D', 0x7fffffff), /2147483647 bytes/],
    [head('E', 16 * 1024 * 1024 + 1), /16777217 bytes/],
  ] as const) {
    assert.throws(() => framesOf([bytes]), reason);
  }
  assert.throws(() => framesOf([head('E', 65_537)], false), /65537 bytes/, 'before the server has let us in');
  assert.deepEqual(framesOf([head('E', 65_537)]), []);
});

test('columns are text or integers, and nothing else', () => {
  const kinds = (...columns: Buffer[]) => {
    const body = Buffer.concat([int16(columns.length), ...columns]);
    return readColumns(body, 0, body.length);
  };
  assert.deepEqual(kinds(column('a', 25), column('b', 20), column('c', 23), column('d', 1043), column('e', 21)), [
    'text', 'integer', 'integer', 'text', 'integer',
  ]);
  assert.deepEqual(kinds(), []);
  for (const type of [16, 17, 700, 701, 1114, 1184, 1700, 2950, 3802]) {
    const message = new RegExp(`flag has type ${type}`);
    assert.throws(() => kinds(column('flag', type)), { name: 'TypeError', message });
  }
  const cut = Buffer.concat([int16(1), column('a', 25)]);
  for (let end = 0; end < cut.length; end += 1) {
    assert.throws(() => readColumns(cut.subarray(0, end), 0, end), RangeError, `cut at ${end}`);
  }
});

test('a row becomes strings, numbers and nulls', () => {
  const read = (body: Buffer, ...kinds: ('text' | 'integer')[]) => readRow(body, 0, body.length, kinds);
  assert.deepEqual(read(row('a', '12', null, '', 'é😀'), 'text', 'integer', 'integer', 'text', 'text'), [
    'a', 12, null, '', 'é😀',
  ]);
  for (const integer of [0, 7, -1, -42, 2 ** 31, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    assert.deepEqual(read(row(String(integer)), 'integer'), [integer]);
  }
  for (const beyond of ['9007199254740992', '-9007199254740992', '9223372036854775807', '-9223372036854775808']) {
    assert.throws(() => read(row(beyond), 'integer'), { name: 'TypeError', message: /2\^53/ });
  }
});

test('a row that lies about its lengths is malformed', () => {
  const lies = [
    row('a'),
    row('a', 'b', 'c'),
    Buffer.concat([int16(2), int32(1), Buffer.from('a'), int32(0x7fffffff), Buffer.from('b')]),
    Buffer.concat([int16(2), int32(1), Buffer.from('a'), int32(-2)]),
    Buffer.concat([int16(2), int32(5), Buffer.from('a')]),
  ];
  for (const body of lies) assert.throws(() => readRow(body, 0, body.length, ['text', 'text']), RangeError);
});

test('the number of changed rows is read off the command tag', () => {
  const cases: [string, number][] = [
    ['INSERT 0 1', 1], ['INSERT 0 1234', 1234], ['UPDATE 0', 0], ['UPDATE 25', 25], ['DELETE 3', 3],
    ['SELECT 5', 0], ['BEGIN', 0], ['COMMIT', 0], ['CREATE TABLE', 0], ['DROP TABLE', 0], ['DO', 0], ['', 0],
  ];
  for (const [tag, changes] of cases) {
    const body = text(tag);
    assert.equal(readChanges(body, 0, body.length), changes, tag);
  }
});

test('an error keeps what identifies it, and no row', () => {
  const fields = ['SFEHLER', 'VERROR', 'C23505', 'Mduplicate key', 'DKey (email)=(a@b.c)', 'nusers_email_key'];
  const body = Buffer.concat([...fields.map(text), Buffer.of(0)]);
  const { error, fatal } = readError(body, 0, body.length);
  assert.equal(fatal, false);
  assert.equal(error.message, 'duplicate key (SQLSTATE 23505)');
  assert.deepEqual([error.sqlstate, error.constraint], ['23505', 'users_email_key']);
  const severe = Buffer.concat(['SFATAL', 'C57P01', 'Mterminating'].map(text));
  assert.equal(readError(severe, 0, severe.length).fatal, true);
});

test('a batch is written as the protocol has it', () => {
  const writer = new MessageWriter();
  const expected = Buffer.concat([
    framed('P', text('s1'), text('SELECT $1, $2, $3'), int16(0)),
    framed('D', Buffer.from('S'), text('s1')),
    framed('B', text(''), text('s1'), int16(0), row('é', '-5', null), int16(0)),
    framed('E', text(''), int32(0)),
    framed('S'),
  ]);
  const batch = writer.parse('s1', 'SELECT $1, $2, $3').execute('s1', ['é', -5, null]).sync().take();
  assert.deepEqual(batch, expected);
  assert.deepEqual(writer.sync().take(), framed('S'), 'nothing of it is left over');
  const long = 'x'.repeat(100_000);
  const bind = framed('B', text(''), text('s1'), int16(0), row(long), int16(0));
  assert.deepEqual(writer.execute('s1', [long]).take().subarray(0, bind.length), bind);
});

test('what cannot be said in the protocol is an error before anything is sent', () => {
  for (const number of [0.5, NaN, Infinity, 2 ** 53, -(2 ** 53)]) {
    assert.throws(() => new MessageWriter().execute('s1', [number]), /safe integer/);
  }
  assert.throws(() => new MessageWriter().parse('s1', 'SELECT 1\0; DROP TABLE users'), /NUL/);
  assert.throws(() => new MessageWriter().startup({ user: 'a\0database\0b' }), /NUL/);
  assert.throws(() => new MessageWriter().execute('s1', ['x'.repeat(6 * 1024 * 1024)]), /16 MiB/);
});
