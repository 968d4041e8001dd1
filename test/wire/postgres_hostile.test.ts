import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConnection } from '../../src/wire/postgres.ts';
import type { Connection } from '../../src/wire/postgres.ts';
import { ConnectionLost, NoConnection } from '../../src/wire/postgres_errors.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { openListener } from '../helpers/postgres.ts';

const open = (url: string, timeoutMs = 60_000): Promise<Connection> =>
  openConnection(toPostgresAddress(url), { greeting: '', timeoutMs });

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const letIn = bytes('52 00000008 00000000  5a 00000005 49');
const greeted = bytes('43 00000008 53455400  5a 00000005 49');

test('a server that breaks the protocol before letting us in is left at once', async (t) => {
  const cases: [string, Buffer, RegExp][] = [
    ['garbage', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /no message/],
    ['2 GB declared', bytes('52 7fffffff'), /2147483647 bytes/],
    ['a negative length', bytes('52 ffffffff'), /-1 bytes/],
    ['no authentication', bytes('5a 00000005 49'), /skipped the authentication/],
    ['MD5', bytes('52 0000000c 00000005 01020304'), /scram-sha-256/],
    ['a cleartext password', bytes('52 00000008 00000003'), /cleartext password without TLS/],
    ['Kerberos', bytes('52 00000008 00000002'), /kind 2/],
    ['SASL without SCRAM', Buffer.concat([bytes('52 0000000e 0000000a'), Buffer.from('OTHER\0')]), /no SCRAM-SHA-256/],
    ['a proof out of nowhere', bytes('52 0000000b 0000000c 763d41'), /kind 12/],
    ['a row', bytes('52 00000008 00000000 44 00000006 0000'), /out of turn/],
    ['endless messages', Buffer.alloc(7000, bytes('52 00000008 00000000')), /without end/],
  ];
  for (const [title, answer, reason] of cases) {
    const listener = await openListener((socket) => socket.once('data', () => socket.write(answer)));
    t.after(listener.close);
    await assert.rejects(open(listener.url), (error: Error) => {
      assert.ok(error instanceof NoConnection, title);
      assert.match((error.cause as Error).message, reason, title);
      return true;
    });
  }
});

test('a server that does not answer, or hangs up, does not hold us', async (t) => {
  for (const serve of [() => {}, (socket: { end(): void }) => socket.end()]) {
    const listener = await openListener(serve);
    t.after(listener.close);
    for (const sslmode of ['disable', 'require']) {
      await assert.rejects(open(`${listener.url}?sslmode=${sslmode}`, 100), NoConnection);
    }
  }
});

test('TLS is not talked down, and nothing is smuggled in before it', async (t) => {
  for (const [answer, reason] of [
    ['N', /offers no TLS/],
    ['E', /does not answer an SSLRequest/],
    ['SR', /does not answer an SSLRequest/],
  ] as const) {
    const listener = await openListener((socket) => socket.once('data', () => socket.write(answer)));
    t.after(listener.close);
    await assert.rejects(open(`${listener.url}?sslmode=require`), (error: Error) => {
      assert.match((error.cause as Error).message, reason);
      return true;
    });
  }
});

test('a server that breaks the protocol in an answer loses the connection at once', async (t) => {
  const described = bytes(
    '31 00000004  74 00000006 0000  54 0000001a 0001 6100 00000000 0000 00000017 0004 ffffffff 0000',
  );
  const cases: [string, Buffer][] = [
    ['garbage', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['2 GB declared', Buffer.concat([described, bytes('44 7fffffff')])],
    ['a column of 2 GB', Buffer.concat([described, bytes('32 00000004 44 0000000a 0001 7fffffff')])],
    ['a row without a description', bytes('44 0000000b 0001 00000001 31')],
    ['more columns than described', Buffer.concat([described, bytes('44 00000010 0002 00000001 31 00000001 32')])],
    ['no result', bytes('5a 00000005 49')],
    ['two results', Buffer.concat([described, greeted.subarray(0, 9), greeted])],
    ['an unknown status', Buffer.concat([described, greeted.subarray(0, 9), bytes('5a 00000005 58')])],
    ['authentication again', letIn],
  ];
  for (const [title, answer] of cases) {
    const answers = [letIn, greeted, answer];
    const listener = await openListener((socket) => socket.on('data', () => socket.write(answers.shift() ?? '')));
    t.after(listener.close);
    const connection = await open(listener.url);
    await assert.rejects(connection.run([{ sql: 'SELECT 1', params: [] }], 60_000), (error: Error) => {
      assert.ok(error instanceof ConnectionLost, title);
      assert.equal(error.message, 'The database broke the protocol.', title);
      return true;
    });
  }
});

test('a server that speaks unasked loses the connection', async (t) => {
  const answers = [letIn, Buffer.concat([greeted, greeted])];
  const listener = await openListener((socket) => socket.on('data', () => socket.write(answers.shift() ?? '')));
  t.after(listener.close);
  const connection = await open(listener.url).catch(() => undefined);
  assert.equal(connection?.ended ?? true, true);
});
