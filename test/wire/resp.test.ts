import assert from 'node:assert/strict';
import test from 'node:test';
import { RedisError, RespParser, toCommand } from '../../src/wire/resp.ts';
import type { Reply } from '../../src/wire/resp.ts';

function parse(chunks: readonly Buffer[], maxBytes = 65_536): Reply[] {
  const replies: Reply[] = [];
  const parser = new RespParser({ maxBytes, onReply: (reply) => void replies.push(reply) });
  for (const chunk of chunks) parser.feed(chunk);
  return replies;
}

/** The bytes whole, one by one, and cut in two at every place. */
function* cuts(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes];
  yield Array.from(bytes, (byte) => Buffer.of(byte));
  for (let i = 1; i < bytes.length; i++) yield [bytes.subarray(0, i), bytes.subarray(i)];
}

const replies: [bytes: string, ...expected: Reply[]][] = [
  ['+OK\r\n', 'OK'],
  ['+\r\n', ''],
  ['+é\r\n', 'é'],
  ['-ERR unknown\r\n', new RedisError('ERR unknown')],
  [':0\r\n', 0],
  [':-1\r\n', -1],
  [':+7\r\n', 7],
  [':9007199254740991\r\n', 9007199254740991],
  [':9007199254740992\r\n', 9007199254740992n],
  [':-9223372036854775808\r\n', -9223372036854775808n],
  ['$0\r\n\r\n', ''],
  ['$-1\r\n', undefined],
  ['$7\r\na\r\nb\0é\r\n', 'a\r\nb\0é'],
  ['*0\r\n', []],
  ['*-1\r\n', undefined],
  ['*3\r\n:1\r\n$1\r\na\r\n*2\r\n*0\r\n-E x\r\n', [1, 'a', [[], new RedisError('E x')]]],
  ['*1\r\n*1\r\n*1\r\n:1\r\n', [[[1]]]],
  ['_\r\n', undefined],
  ['#t\r\n', true],
  ['#f\r\n', false],
  [',1.5\r\n', 1.5],
  [',-2e3\r\n', -2000],
  [',inf\r\n', Infinity],
  [',-inf\r\n', -Infinity],
  [',nan\r\n', NaN],
  ['(-3492890328409238509324850943850943825024385\r\n', -3492890328409238509324850943850943825024385n],
  ['=7\r\ntxt:abc\r\n', 'abc'],
  ['!10\r\nERR a\r\nbcd\r\n', new RedisError('ERR a\r\nbcd')],
  ['%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n', new Map<Reply, Reply>([['a', 1], ['b', []]])],
  ['%0\r\n', new Map()],
  ['~2\r\n:1\r\n:2\r\n', [1, 2]],
  [':1\r\n+a\r\n$1\r\nb\r\n', 1, 'a', 'b'],
  ['>2\r\n+invalidate\r\n*0\r\n:1\r\n>0\r\n', 1],
  ['|1\r\n+ttl\r\n:9\r\n:1\r\n', 1],
  ['*2\r\n|1\r\n+ttl\r\n*1\r\n:9\r\n:1\r\n:2\r\n', [1, 2]],
];

for (const [bytes, ...expected] of replies) {
  test(`${JSON.stringify(bytes)} is read the same wherever it is cut`, () => {
    for (const chunks of cuts(Buffer.from(bytes))) assert.deepEqual(parse(chunks), expected);
  });
}

test('A reply is handed on with its last byte, not before', () => {
  for (const [bytes, expected] of replies.filter((row) => row.length === 2)) {
    const all = Buffer.from(bytes);
    const [first, last] = [all.subarray(0, -1), all.subarray(-1)];
    if (!/^[|>]/.test(bytes)) assert.deepEqual([parse([first]), parse([first, last])], [[], [expected]], bytes);
  }
});

const noResp = [
  '?x\r\n', '\r\n', 'HTTP/1.1 400 Bad Request\r\n', '$abc\r\n', '$-2\r\n', '*-2\r\n', '$\r\n', '*1.5\r\n', '$1e3\r\n',
  '$3\r\nabcd\r\n', '$3\r\nabcXX', '$3\r\nabc\rX', ':1 2\r\n', ':\r\n', ':-\r\n', ':0x10\r\n', '+a\nb\r\n', '+a\rb\r\n',
  ':12345678901234567890\r\n', '#x\r\n', '#tf\r\n', '_x\r\n', ',\r\n', ',1.2.3\r\n', ',0x1\r\n', '(1.5\r\n', '(\r\n',
  '=3\r\nabc\r\n', '=-1\r\n', '!-1\r\n', '%-1\r\n', '~-1\r\n', '>-1\r\n', '*1\r\n>1\r\n', '$?\r\n', '*?\r\n', ';4\r\n',
];

for (const bytes of noResp) {
  test(`${JSON.stringify(bytes)} is refused wherever it is cut`, () => {
    for (const chunks of cuts(Buffer.from(bytes))) assert.throws(() => parse(chunks), Error);
  });
}

const tooLong = [
  '$2147483648\r\n', '$2147483647\r\n', '*2147483648\r\n', '*99999999999\r\n', '$9223372036854775807\r\n',
  '%1073741824\r\n', '~2147483648\r\n', '>2147483648\r\n', '|1073741824\r\n', '=2147483648\r\n', '!2147483648\r\n',
  '*2\r\n$2147483648\r\n', '*30\r\n*30\r\n*2147483648\r\n', `*9\r\n${'$900\r\n'.padEnd(906, 'x')}\r\n$900\r\n`,
];

for (const bytes of tooLong) {
  test(`${JSON.stringify(bytes.slice(0, 40))} is refused as soon as the length is declared`, () => {
    for (const chunks of cuts(Buffer.from(bytes))) assert.throws(() => parse(chunks, 1000), /too long/);
  });
}

test('A reply of exactly the longest length is read, and the next one has the whole length again', () => {
  const bytes = Buffer.from(`$993\r\n${'x'.repeat(993)}\r\n`.repeat(3));
  assert.equal(parse([bytes], 1001).length, 3);
  assert.throws(() => parse([bytes], 992), /too long/);
});

test('Many small elements are no way around the longest length', () => {
  assert.throws(() => parse([Buffer.from(`*300\r\n${':12345678\r\n'.repeat(300)}`)], 1000), /too long/);
});

test('A line without an end is refused', () => {
  const chunk = Buffer.from('+'.repeat(1000));
  assert.throws(() => parse(Array.from({ length: 10 }, () => chunk)), /too long/);
});

test('Nesting deeper than any Redis nests is refused', () => {
  assert.equal(parse([Buffer.from(`${'*1\r\n'.repeat(16)}:1\r\n`)]).length, 1);
  assert.throws(() => parse([Buffer.from('*1\r\n'.repeat(17))]), /nested/);
});

test('Noise never gets anything but replies or a refusal out of the parser', () => {
  const good = [':1', '*2', '*0', '$1\r\na', '+x', '-E', '%1', '|1', '>1', '_', '#t', ',1', '=5\r\ntxt:a', '!1\r\nE'];
  const pieces = [...good, ...good, ...good, '', '$2\r\na', '*', 'x'];
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const noise = Array.from({ length: 12 }, () => `${pieces[Math.floor(random() * pieces.length)]}\r\n`).join('');
    const bytes = Buffer.from(noise);
    const outcomes = [[bytes], Array.from(bytes, (byte) => Buffer.of(byte))].map((chunks) => {
      const replies: Reply[] = [];
      const parser = new RespParser({ maxBytes: 1000, onReply: (reply) => void replies.push(reply) });
      try {
        for (const chunk of chunks) parser.feed(chunk);
        return { replies, message: '' };
      } catch (error) {
        return { replies, message: (error as Error).message };
      }
    });
    assert.deepEqual(outcomes[0], outcomes[1]);
    if (outcomes[0]!.message !== '') refused++;
  }
  assert.ok(refused > 1000 && refused < 3000, `${refused} of 3000 refused`);
});

test('A command is an array of bulk strings whose lengths are bytes', () => {
  assert.equal(toCommand(['SET', 'é', '']), '*3\r\n$3\r\nSET\r\n$2\r\né\r\n$0\r\n\r\n');
  assert.deepEqual(parse([Buffer.from(toCommand(['a\r\n', '€']))]), [['a\r\n', '€']]);
});

test('The code of an error is its first word', () => {
  const texts = ['NOSCRIPT No matching', 'READONLY You', 'ERR', '', 'lower case'];
  const codes = texts.map((text) => new RedisError(text).code);
  assert.deepEqual(codes, ['NOSCRIPT', 'READONLY', 'ERR', 'ERR', 'ERR']);
});
