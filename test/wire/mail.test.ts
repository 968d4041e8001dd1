import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { openMail } from '../../src/wire/mail.ts';
import type { Mail, MailOptions } from '../../src/wire/mail.ts';
import { SmtpFailure } from '../../src/wire/smtp_failure.ts';
import { createIdentities, noOpenssl } from '../helpers/smtp_identities.ts';
import { startRude, withRude } from '../helpers/smtp_rude.ts';

const mail: Mail = {
  to: 'ann@example.org',
  subject: 'Grüße',
  text: 'Your link:\nhttps://api.example.org/reset?token=abc\n',
  messageId: '0190-abc',
  date: Date.UTC(2024, 1, 29, 23, 59, 58, 7),
};
const options: MailOptions = {
  url: 'log:',
  from: 'The Server <server@example.org>',
  publicHost: 'api.example.org',
  log: () => assert.fail('nothing was to be logged'),
};
const malformed: Partial<Mail>[] = [
  { to: 'a@b.org\r\nBcc: evil@b.org' }, { to: 'nobody' }, { subject: 'a\nb' }, { subject: '\0' }, { date: NaN },
  { messageId: '../../etc/passwd' }, { messageId: '' }, { messageId: 'a b' }, { messageId: 'x'.repeat(65) },
];

describe('mail', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mail-'));
  });
  after(() => rm(folder, { recursive: true }));

  test('to log: is there to be read', async () => {
    const logged: string[] = [];
    const transport = openMail({ ...options, log: (text) => logged.push(text) });
    assert.equal(transport.kind, 'log');
    await transport.deliver(mail);
    assert.deepEqual(logged, [
      'From: server@example.org\nTo: ann@example.org\nSubject: Grüße\n\n'
        + 'Your link:\nhttps://api.example.org/reset?token=abc\n',
    ]);
    await transport.close();
  });

  test('to file: is a whole message that only its owner reads, once for however many attempts', async () => {
    const outbox = join(folder, 'data', 'mail');
    const transport = openMail({ ...options, url: `file:${outbox}` });
    assert.equal(transport.kind, 'file');
    await transport.deliver(mail);
    await transport.deliver({ ...mail, messageId: 'another' });
    await transport.deliver({ ...mail, text: 'Second attempt.' });
    const names = (await readdir(outbox)).sort();
    assert.deepEqual(names, ['20240229T235958.007Z-0190-abc.eml', '20240229T235958.007Z-another.eml']);
    const path = join(outbox, names[0]!);
    const written = await readFile(path, 'latin1');
    assert.match(written, /^Date: Thu, .*\r\nMessage-ID: <0190-abc@api\.example\.org>\r\n/s);
    assert.ok(written.endsWith('\r\n\r\nSecond attempt.\r\n'));
    assert.deepEqual([(await stat(path)).mode & 0o777, (await stat(outbox)).mode & 0o777], [0o600, 0o700]);
    await transport.close();
  });

  test('to file: leaves nothing behind when it cannot be written', async () => {
    const path = join(folder, 'taken');
    await writeFile(path, '');
    await assert.rejects(openMail({ ...options, url: `file:${path}` }).deliver(mail), { code: 'EEXIST' });
    const outbox = join(folder, 'outbox');
    const transport = openMail({ ...options, url: `file://${outbox}` });
    await transport.deliver(mail);
    const [name] = await readdir(outbox);
    await rm(join(outbox, name!));
    await openMail({ ...options, url: `file:${join(outbox, name!, 'x')}` }).deliver(mail);
    await assert.rejects(transport.deliver(mail), { code: 'EISDIR' });
    assert.deepEqual(await readdir(outbox), [name]);
  });

  test('that is malformed is refused by every way out', async () => {
    const rude = await startRude({});
    const outbox = join(folder, 'malformed');
    const logged: string[] = [];
    for (const url of ['log:', `file:${outbox}`, `smtp://127.0.0.1:${rude.port}`]) {
      const transport = openMail({ ...options, url, log: (text) => logged.push(text) });
      for (const wrong of malformed) {
        await assert.rejects(transport.deliver({ ...mail, ...wrong }), Error, `${url} ${inspect(wrong)}`);
      }
    }
    assert.deepEqual([rude.connections, logged], [0, []]);
    await assert.rejects(stat(outbox), { code: 'ENOENT' });
    await rude.close();
  });

  test('to smtp: goes out under the public name, one connection for each', async () => {
    for (const [publicHost, name] of [
      ['api.example.org', 'api.example.org'], ['127.0.0.1', '[127.0.0.1]'], ['[::1]', '[IPv6:::1]'],
    ]) {
      await withRude({}, {}, async (rude) => {
        const transport = openMail({ ...options, publicHost: publicHost!, url: `smtp://127.0.0.1:${rude.port}` });
        assert.equal(transport.kind, 'smtp');
        await Promise.all([transport.deliver(mail), transport.deliver(mail)]);
        assert.equal(rude.connections, 2);
        assert.equal(rude.heard.filter((line) => line === `EHLO ${name}`).length, 2);
        assert.equal(rude.heard.filter((line) => line === `Message-ID: <0190-abc@${publicHost}>`).length, 2);
        assert.equal(rude.heard.filter((line) => line === 'From: The Server <server@example.org>').length, 2);
        await transport.close();
      });
    }
  });

  test('on its way is broken off by close, to be tried again', async () => {
    await withRude({ greeting: undefined }, {}, async (rude) => {
      const transport = openMail({ ...options, url: `smtp://127.0.0.1:${rude.port}` });
      const delivery = assert.rejects(transport.deliver(mail), (error) => {
        assert.ok(error instanceof SmtpFailure);
        return !error.permanent;
      });
      while (rude.connections === 0) await new Promise((done) => setTimeout(done, 5));
      await transport.close();
      await delivery;
      await assert.rejects(transport.deliver(mail), SmtpFailure);
    });
  });

  test('has no way out when a setting is wrong, and the error does not repeat the URL', () => {
    for (const wrong of [
      ...['', 'log', 'log:x', 'http://u:hunter2@h', 'file:', 'file://host/x', 'smtp:'].map((url) => ({ url })),
      ...['smtps://u@h', 'smtp://u:hunter2@', 'smtp://u:hunter2@h:x', 'smtps://u:hunter2@h/x'].map((url) => ({ url })),
      ...['', 'a', 'A <a>', 'A\r\nB <a@b.org>'].map((from) => ({ from })),
    ]) {
      assert.throws(() => openMail({ ...options, ...wrong }), (error: Error) => !inspect(error).includes('hunter2'));
    }
  });

  test('trusts the authorities of NODE_EXTRA_CA_CERTS', { skip: noOpenssl }, async () => {
    const identities = createIdentities();
    const script = `
      import { openMail } from ${JSON.stringify(new URL('../../src/wire/mail.ts', import.meta.url).href)};
      const { mail, options } = JSON.parse(process.argv[1]);
      const outcome = await openMail(options).deliver(mail).then(() => 'delivered', (error) => error.message);
      console.log(outcome);
    `;
    await withRude({}, { identity: identities.good }, async (rude) => {
      const input = JSON.stringify({ mail, options: { ...options, url: `smtp://localhost:${rude.port}` } });
      const deliver = async (env: NodeJS.ProcessEnv): Promise<string> => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, input], { env });
        let said = '';
        child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
        await once(child, 'close');
        return said;
      };
      const without = { ...process.env };
      delete without['NODE_EXTRA_CA_CERTS'];
      assert.equal(await deliver({ ...without, NODE_EXTRA_CA_CERTS: identities.caFile }), 'delivered\n');
      const refused = 'SMTP tls: the connection failed\n';
      assert.equal(await deliver(without), refused);
      assert.equal(await deliver({ ...without, NODE_TLS_REJECT_UNAUTHORIZED: '0' }), refused);
    });
    identities.remove();
  });
});
