import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import tls from 'node:tls';
import { toRedisTarget } from '../../src/wire/redis_target.ts';
import { answer, client, freePort, needs, patient, rawServer, redisServer, until } from '../helpers/redis.ts';

const url = process.env['TEST_REDIS_URL'];
const shared = url === undefined ? { skip: 'TEST_REDIS_URL is not set' } : {};
const own = needs('redis-server');

/** Runs a program with a client in a process of its own, which nothing ends but its own end. */
async function run(program: string, settings = {}): Promise<{ code: unknown; output: string }> {
  const redis = new URL('../../src/wire/redis.ts', import.meta.url);
  const head = `import { openRedis } from '${redis}'; const now = () => Number(process.hrtime.bigint());`;
  const env = { ...process.env, ...settings };
  const child = spawn(process.execPath, ['--input-type=module', '-e', head + program], { stdio: 'pipe', env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const [code] = await once(child, 'close');
  return { code, output };
}

const echo = (n: number | string): string[] => ['ECHO', `this is ${n}`];

test('A URL says where Redis is and how to be let in', () => {
  const plain = { host: 'h', port: 6379, tls: false, user: undefined, password: undefined, db: 0 };
  const rows = {
    'redis://h': plain,
    'redis://h/': plain,
    'redis://h:7000/12': { ...plain, port: 7000, db: 12 },
    'rediss://h': { ...plain, tls: true },
    'redis://:p%40ss@h': { ...plain, password: 'p@ss' },
    'redis://u%3A:p@h': { ...plain, user: 'u:', password: 'p' },
    'redis://[::1]:1': { ...plain, host: '::1', port: 1 },
  };
  for (const [text, target] of Object.entries(rows)) assert.deepEqual(toRedisTarget(text), target);
});

test('A URL that is none of ours is refused without being repeated', () => {
  const rows = [
    'hunter2', 'http://:hunter2@h', 'redis://:hunter2@', 'redis://:hunter2@h/x', 'redis://:hunter2@h/0/1',
    'redis://:hunter2@h?db=1', 'redis://:hunter2@h#1', 'redis://hunter2@h', 'redis://:hunter2%zz@h', '',
  ];
  for (const text of rows) {
    assert.throws(() => toRedisTarget(text), (error: Error) => !`${error.stack}${error.cause}`.includes('hunter2'));
  }
});

test('A thousand calls at once get a thousand answers, each its own', shared, async (t) => {
  const redis = await patient(t, url!);
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => redis.call(echo(i))));
  assert.deepEqual(answers, Array.from({ length: 1000 }, (_, i) => `this is ${i}`));
});

test('An error reply rejects its own call and no other', shared, async (t) => {
  const redis = await patient(t, url!);
  const outcomes = await Promise.allSettled([redis.call(echo(1)), redis.call(['NONSENSE']), redis.call(echo(2))]);
  assert.deepEqual(outcomes.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
  await assert.rejects(redis.call(['EVALSHA', '0'.repeat(40), '0']), { name: 'RedisError', code: 'NOSCRIPT' });
  assert.equal(redis.up, true);
});

test('Each database is a space of its own', own, async (t) => {
  const server = await redisServer(t);
  const [one, two] = [await patient(t, `${server.url}/1`), await patient(t, `${server.url}/2`)];
  await one.call(['SET', 'a', 'in one']);
  assert.deepEqual([await one.call(['GET', 'a']), await two.call(['GET', 'a'])], ['in one', undefined]);
});

test('The password opens, a wrong one or none does not, and no reason repeats it', own, async (t) => {
  const { port } = await redisServer(t, ['--requirepass', 's@cret', '--user', 'ann', 'on', '>hunter2', '~*', '+@all']);
  const rows: [credentials: string, reason: RegExp | undefined][] = [
    [':s%40cret@', undefined],
    ['default:s%40cret@', undefined],
    ['ann:hunter2@', undefined],
    [':hunter2@', /AUTH was refused \(WRONGPASS\)/],
    ['ann:s%40cret@', /AUTH was refused \(WRONGPASS\)/],
    ['', /SELECT was refused \(NOAUTH\)/],
  ];
  for (const [credentials, reason] of rows) {
    const redis = await client(t, `redis://${credentials}127.0.0.1:${port}/1`, { deadlineMs: 20_000 });
    if (reason === undefined) assert.equal(await redis.call(echo(1)), 'this is 1');
    else await assert.rejects(redis.call(echo(1)), (error: Error) => reason.test(error.message) && !redis.up);
  }
});

test('A server that repeats the command in its refusal does not get the password into the reason', async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.on('data', () => socket.end("-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n"));
  });
  const redis = await client(t, server.url.replace('//', '//:hunter2@'));
  await assert.rejects(redis.call(['PING']), { message: 'Redis is not connected: AUTH was refused (ERR)' });
});

test('TLS wants a certificate of a known authority for the right name', { ...own, ...needs('openssl') }, async (t) => {
  const port = await freePort();
  const server = await redisServer(t);
  const pem = makeCertificates(server.folder);
  await server.kill();
  const files = ['--tls-cert-file', pem.certificate, '--tls-key-file', pem.key, '--tls-auth-clients', 'no'];
  await server.start([...files, '--tls-port', String(port)]);
  const attempt = async (url: string, connectMs = 5000) => {
    const redis = await client(t, url, { deadlineMs: 20_000, connectMs });
    return redis.call(echo(1)).catch((error: Error) => error.message);
  };
  assert.match(String(await attempt(`rediss://localhost:${port}`)), /unable to verify|self-signed|local issuer/);
  const program = `
    const redis = await openRedis({ url: 'rediss://localhost:${port}', now, random: Math.random, connectMs: 5000 });
    console.log(await redis.call(['ECHO', 'verified']).catch((error) => error.message));
  `;
  const { output } = await run(program, { NODE_EXTRA_CA_CERTS: pem.authority, NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  assert.match(output, /^verified$/m);
  const unverified = await run(program, { NODE_EXTRA_CA_CERTS: '', NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  assert.doesNotMatch(unverified.output, /^verified$/m);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(pem.authority, 'utf8')]);
  assert.equal(await attempt(`rediss://localhost:${port}`), 'this is 1');
  assert.match(String(await attempt(`rediss://127.0.0.1:${port}`)), /IP: 127\.0\.0\.1 is not in the cert/);
  assert.match(String(await attempt(`redis://localhost:${port}`, 200)), /not connected/);
  assert.match(String(await attempt(`rediss://127.0.0.1:${server.port}`, 200)), /not connected/);
});

function makeCertificates(folder: string): { authority: string; certificate: string; key: string } {
  const path = (name: string) => join(folder, name);
  const make = (name: string, ...more: string[]) =>
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-keyout', path(`${name}.key`), '-out', path(`${name}.crt`), ...more,
    ], { stdio: 'pipe' });
  make('authority');
  const names = ['-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE'];
  make('server', '-CA', path('authority.crt'), '-CAkey', path('authority.key'), ...names);
  return { authority: path('authority.crt'), certificate: path('server.crt'), key: path('server.key') };
}

test('A Redis that was killed and started again is used again', own, async (t) => {
  const server = await redisServer(t);
  const redis = await patient(t, server.url);
  const waiting = redis.call(['BLPOP', 'nothing', '0']);
  await Promise.all([assert.rejects(waiting), server.kill()]);
  await assert.rejects(redis.call(echo(1)), /not connected/);
  await server.start();
  await until(() => redis.up);
  assert.equal(await redis.call(echo(2)), 'this is 2');
});

test('A Redis that is not there when the client opens is used when it comes', own, async (t) => {
  const server = await redisServer(t);
  await server.kill();
  const redis = await patient(t, server.url);
  await assert.rejects(redis.call(echo(1)), /not connected: .*ECONNREFUSED/);
  await server.start();
  await until(() => redis.up);
});

test('A Redis that hangs costs its callers the deadline, and those after them nothing', own, async (t) => {
  const server = await redisServer(t);
  const redis = await client(t, server.url, { deadlineMs: 2_000 });
  server.signal('SIGSTOP');
  await Promise.all([1, 2, 3].map((n) => assert.rejects(redis.call(echo(n)), /did not answer within 2000 ms/)));
  assert.equal(redis.up, false);
  await assert.rejects(redis.call(echo(4)), /not connected/);
  server.signal('SIGCONT');
  await until(() => redis.up);
  assert.equal(await redis.call(echo(5)), 'this is 5');
});

test('A late answer reaches nobody', async (t) => {
  let isSaid = false;
  const server = await rawServer(t, (socket, connection) => {
    socket.on('data', (chunk) => {
      if (chunk.includes('PING')) return socket.write('+PONG\r\n');
      if (connection === 1) return setTimeout(() => socket.write('+late\r\n', () => (isSaid = true)), 600);
      return socket.write('+in time\r\n');
    });
  });
  const redis = await client(t, server.url, { deadlineMs: 500 });
  await assert.rejects(redis.call(['GET', 'a']), /did not answer/);
  await until(() => redis.up);
  const answers = new Set<unknown>();
  for (let left = 20; left > 0; left -= isSaid ? 1 : 0) {
    await redis.call(['GET', 'b']).then((reply) => answers.add(reply), () => {});
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.deepEqual([...answers], ['in time']);
});

test('A process that was busy for longer than the deadline does not blame Redis', async (t) => {
  const server = await rawServer(t, (socket) => answer(socket, '+OK\r\n'));
  const { output } = await run(`
    const redis = await openRedis({ url: '${server.url}', now, random: Math.random, connectMs: 20_000 });
    const call = redis.call(['GET', 'a']).catch((error) => error.message);
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000));
    console.log(await call);
  `);
  assert.equal(output, 'OK\n');
});

for (const cut of ['closes', 'falls silent'] as const) {
  test(`A connection that ${cut} after any byte gives each caller its own answer or an error`, own, async (t) => {
    const { port } = await redisServer(t);
    // Silence is found out by its length alone.
    const deadlineMs = cut === 'closes' ? 20_000 : 3_000;
    const full = `+PONG\r\n${[1, 22, 333].map((n) => `$${`this is ${n}`.length}\r\nthis is ${n}\r\n`).join('')}`;
    const story = async (bytes: number): Promise<number> => {
      const proxy = await rawServer(t, (socket, connection) => {
        const upstream = net.connect(port, '127.0.0.1');
        let left = connection === 1 ? bytes : Infinity;
        upstream.on('error', () => socket.destroy());
        socket.on('close', () => upstream.destroy());
        socket.on('data', (chunk) => upstream.write(chunk));
        upstream.on('data', (chunk) => {
          if (left > 0) socket.write(chunk.subarray(0, Math.min(left, chunk.length)));
          left = Math.max(0, left - chunk.length);
          if (left === 0 && cut === 'closes') socket.end();
        });
      });
      const redis = await client(t, proxy.url, { deadlineMs, connectMs: deadlineMs });
      const outcomes = await Promise.allSettled([1, 22, 333].map((n) => redis.call(echo(n))));
      const answered = outcomes.map((o, i) => {
        if (o.status === 'fulfilled') assert.equal(o.value, `this is ${[1, 22, 333][i]}`);
        return o.status === 'fulfilled';
      });
      assert.deepEqual(answered, answered.toSorted((a, b) => Number(b) - Number(a)));
      await until(async () => redis.up && (await redis.call(echo(4)).catch(() => '')) === 'this is 4');
      return answered.filter(Boolean).length;
    };
    const counts = await Promise.all(Array.from({ length: full.length }, (_, i) => story(i + 1)));
    assert.deepEqual([...new Set(counts)], [0, 1, 2, 3]);
  });
}

const garbage = {
  'something else than RESP': 'HTTP/1.1 400 Bad Request\r\n\r\n',
  'a string of 2 GB': '$2147483648\r\n',
  'an array of 2 GB': '*2147483648\r\n',
  'nested arrays of 2 GB': '*2147483648\r\n*2147483648\r\n',
  'a longer reply than allowed': `$70000\r\n${'x'.repeat(70_000)}\r\n`,
  'an answer too many': '+OK\r\n+OK\r\n',
};

for (const [what, bytes] of Object.entries(garbage)) {
  test(`${what} ends the connection, and the next one is used`, async (t) => {
    let closed = 0;
    const server = await rawServer(t, (socket, connection) => {
      socket.on('close', () => closed++);
      answer(socket, connection === 1 ? bytes : '+fine\r\n');
    });
    const redis = await client(t, server.url, { deadlineMs: 20_000 });
    await redis.call(['GET', 'a']).then((reply) => assert.equal(reply, 'OK'), () => {});
    await until(() => closed === 1);
    await until(() => redis.up);
    assert.equal(await redis.call(['GET', 'a']), 'fine');
  });
}

test('A declared length of 2 GB allocates nothing', async (t) => {
  const server = await rawServer(t, (socket) => answer(socket, '$2147483648\r\n'));
  const redis = await client(t, server.url, { deadlineMs: 20_000 });
  const before = process.memoryUsage().arrayBuffers;
  await assert.rejects(redis.call(['GET', 'a']), { message: 'Redis sent what is no valid reply' });
  assert.ok(process.memoryUsage().arrayBuffers - before < 10_000_000);
});

test('More calls than may wait are refused at once, and the others are answered', async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.on('data', (chunk) => socket.write(chunk.includes('PING') ? '+PONG\r\n' : '+1\r\n+2\r\n'));
  });
  const redis = await client(t, server.url, { maxCalls: 2, deadlineMs: 20_000 });
  const calls = [redis.call(['A']), redis.call(['B']), redis.call(['C'])];
  await assert.rejects(calls[2]!, /too many calls/);
  assert.deepEqual(await Promise.all(calls.slice(0, 2)), ['1', '2']);
});

test('A server that can only be read is left for a new look-up of its name', async (t) => {
  const server = await rawServer(t, (socket, connection) => {
    answer(socket, connection === 1 ? "-READONLY You can't write against a read only replica.\r\n" : '+OK\r\n');
  });
  const redis = await client(t, server.url, { deadlineMs: 20_000 });
  await assert.rejects(redis.call(['SET', 'a', 'b']), { code: 'READONLY' });
  await until(() => redis.up);
  assert.equal(await redis.call(['SET', 'a', 'b']), 'OK');
  assert.equal(server.connections, 2);
});

test('A closed client rejects what waits, whatever comes after, and connects no more', async (t) => {
  const server = await rawServer(t, (socket) => answer(socket, ''));
  const redis = await client(t, server.url, { deadlineMs: 20_000 });
  const waiting = redis.call(['GET', 'a']);
  await Promise.all([assert.rejects(waiting, /closed/), redis.close()]);
  await assert.rejects(redis.call(['GET', 'a']), /closed/);
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.deepEqual([redis.up, server.connections], [false, 1]);
});

test('Neither an idle client nor one without a server holds the process', async (t) => {
  const server = await rawServer(t, (socket) => answer(socket, '+OK\r\n'));
  const nobody = `redis://127.0.0.1:${await freePort()}`;
  for (const [url, expected] of [[server.url, 'OK'], [nobody, 'not connected']] as const) {
    const { code, output } = await run(`
      const patience = { deadlineMs: 20_000, connectMs: 20_000 };
      const redis = await openRedis({ url: '${url}', now, random: Math.random, ...patience });
      console.log(await redis.call(['GET', 'a']).catch((error) => error.message));
    `);
    assert.match(output, new RegExp(expected));
    assert.equal(code, 0, output);
  }
});
