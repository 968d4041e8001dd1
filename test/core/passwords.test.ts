import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';

import { Failure } from '../../src/core/errors.ts';
import { createPasswords } from '../../src/core/passwords.ts';
import type { Passwords, PasswordSettings } from '../../src/core/passwords.ts';

const CHEAP = { log2N: 4, r: 2, p: 1, concurrency: 1, queue: 64 };

function open(t: TestContext, settings: Partial<PasswordSettings> = {}): Passwords {
  const passwords = createPasswords({ ...CHEAP, ...settings });
  t.after(() => passwords.close());
  return passwords;
}

const PHC = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

/** What RFC 7914 says of a password under a PHC string's parameters. */
function derived(password: string, phc: string): string {
  const [, log2N, r, p, salt] = PHC.exec(phc)!;
  const cost = { N: 2 ** Number(log2N), r: Number(r), p: Number(p), maxmem: 1 << 28 };
  return scryptSync(password, Buffer.from(salt!, 'base64'), 32, cost).toString('base64').replace(/=$/, '');
}

suite('passwords', { concurrency: true }, () => {
  test('a hash is the scrypt of RFC 7914 under the parameters and the salt that it names', async (t) => {
    for (const cost of [{ log2N: 4, r: 2, p: 1 }, { log2N: 10, r: 8, p: 3 }, { log2N: 1, r: 1, p: 4 }]) {
      const passwords = open(t, cost);
      for (const password of ['', 'correct horse', ' é\u0301\u{1f512} ', 'e\u0301', 'x'.repeat(1024), 'a\0b']) {
        const phc = await passwords.hash(password);
        const [, log2N, r, p, , hash] = PHC.exec(phc) ?? assert.fail(phc);
        assert.deepEqual([Number(log2N), Number(r), Number(p)], [cost.log2N, cost.r, cost.p]);
        assert.equal(hash, derived(password, phc));
        assert.deepEqual(await passwords.verify(password, phc), { matches: true, outdated: false });
      }
    }
  });

  test('nothing but the password itself matches: no case, form or space is folded away', async (t) => {
    const passwords = open(t);
    const phc = await passwords.hash('Ünïque pass');
    const others = ['ünïque pass', 'Ünïque pass'.normalize('NFD'), ' Ünïque pass', 'Ünïque pass ', '', 'Ünïque pas'];
    for (const other of others) assert.equal((await passwords.verify(other, phc)).matches, false, other);
  });

  test('two hashes of one password have nothing in common', async (t) => {
    const passwords = open(t);
    const hashes = await Promise.all(Array.from({ length: 20 }, () => passwords.hash('correct horse')));
    assert.equal(new Set(hashes.map((phc) => PHC.exec(phc)![4])).size, 20);
    assert.equal(new Set(hashes.map((phc) => PHC.exec(phc)![5])).size, 20);
  });

  test('with nothing to compare with, the same job is done, and the answer is no', async (t) => {
    const jobs: { salt: Uint8Array; r: number }[] = [];
    const post = Worker.prototype.postMessage;
    t.mock.method(Worker.prototype, 'postMessage', function (this: Worker, job: (typeof jobs)[0]) {
      if (job.r === 13) jobs.push(job);
      return post.call(this, job);
    });
    const passwords = open(t, { log2N: 5, r: 13, p: 2 });
    const phc = await passwords.hash('correct horse');
    jobs.length = 0;
    const known = await passwords.verify('wrong horse', phc);
    const unknown = await passwords.verify('wrong horse', undefined);
    assert.deepEqual(unknown, known);
    const work = jobs.map((job) => ({ ...job, salt: job.salt.length }));
    assert.equal(work.length, 2);
    assert.deepEqual(work[1], work[0]);
  });

  test('a hash made at another cost still verifies, and says that it is outdated', async (t) => {
    const phc = await open(t).hash('correct horse');
    for (const cost of [{ log2N: 5 }, { r: 3 }, { p: 2 }]) {
      const passwords = open(t, cost);
      assert.deepEqual(await passwords.verify('correct horse', phc), { matches: true, outdated: true });
      assert.deepEqual(await passwords.verify('wrong', phc), { matches: false, outdated: true });
    }
  });

  test('what is no hash of ours is an error, never a match', async (t) => {
    const passwords = open(t);
    const phc = await passwords.hash('correct horse');
    const broken = [
      ...['', 'x', '$2b$10$abc', phc.slice(1), `${phc}$`, `${phc}=`, `${phc}\n`, phc.replace('scrypt', 'argon2id')],
      ...[phc.replace('ln=', 'N='), phc.replace(/\$[^$]*$/, '$'), phc.replace('r=2', 'r=')],
    ];
    for (const stored of broken) await assert.rejects(passwords.verify('correct horse', stored), stored);
  });

  test('so many hashes run and wait, and one more is refused at once', async (t) => {
    const passwords = open(t, { concurrency: 2, queue: 3, log2N: 12, r: 8 });
    const started = Array.from({ length: 5 }, () => passwords.hash('correct horse'));
    assert.equal(passwords.waiting, 3);
    for (const refused of [passwords.hash('x'), passwords.verify('x', undefined)]) {
      const failure = await refused.catch((error: unknown) => error);
      assert.ok(failure instanceof Failure);
      assert.deepEqual([failure.code, failure.details.retryAfter], ['overloaded', 1]);
    }
    assert.equal((await Promise.all(started)).length, 5);
    assert.equal(passwords.waiting, 0);
    assert.match(await passwords.hash('x'), PHC);
  });

  test('a queue of none lets nobody wait', async (t) => {
    const passwords = open(t, { queue: 0, log2N: 12 });
    const first = passwords.hash('x');
    await assert.rejects(passwords.hash('x'), { code: 'overloaded' });
    await first;
    await passwords.hash('x');
  });

  test('whoever comes while an idle thread is ending is served by another', async (t) => {
    const passwords = open(t, { idleMs: 1 });
    for (let i = 0; i < 16; i++) {
      await passwords.hash('x');
      const wakeAt = performance.now() + 1 + (i % 8) / 4;
      while (performance.now() < wakeAt) await new Promise((resolve) => setImmediate(resolve));
    }
  });

  test('closing refuses what waits and what runs, and leaves nobody without an answer', async () => {
    const passwords = createPasswords({ ...CHEAP, log2N: 14, r: 8 });
    const started = Promise.allSettled(Array.from({ length: 4 }, () => passwords.hash('x')));
    await passwords.close();
    const outcomes = await started;
    assert.deepEqual(outcomes.map(({ status }) => status), Array(4).fill('rejected'));
  });
});
