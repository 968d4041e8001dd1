import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sendMail } from '../../src/wire/smtp.ts';
import type { SmtpOptions } from '../../src/wire/smtp.ts';
import { toSmtpTarget } from '../../src/wire/smtp_target.ts';
import { envelope, failureOf, generous, message, password } from '../helpers/smtp_client.ts';
import { createIdentities, noOpenssl } from '../helpers/smtp_identities.ts';
import type { Identities } from '../helpers/smtp_identities.ts';
import { withRude } from '../helpers/smtp_rude.ts';
import type { Answer, Rude, RudeOptions } from '../helpers/smtp_rude.ts';

describe('TLS', { skip: noOpenssl, concurrency: 4 }, () => {
  let identities: Identities;
  before(() => {
    identities = createIdentities();
  });
  after(() => identities.remove());
  const send = (rude: Rude, options: Partial<SmtpOptions> = {}, scheme = 'smtp', host = 'localhost'): Promise<void> => {
    const target = toSmtpTarget(`${scheme}://user:${password}@${host}:${rude.port}`);
    return sendMail(target, envelope, message, { ...generous, ca: identities.ca, ...options });
  };

  test('is used when offered, and the password and the mail are sent inside', async () => {
    await withRude({}, { identity: identities.good }, async (rude) => {
      await send(rude);
      const response = Buffer.from(`\0user\0${password}`).toString('base64');
      assert.deepEqual(rude.heard.slice(0, 4), [
        'EHLO localhost', 'STARTTLS', 'tls EHLO localhost', `tls AUTH PLAIN ${response}`,
      ]);
      assert.ok(rude.heard.slice(2).every((line) => line.startsWith('tls ')));
      assert.deepEqual(rude.names, ['localhost']);
    });
  });

  test('can come first, and the certificate may be for an address', async () => {
    await withRude({}, { identity: identities.good, implicitTls: true }, async (rude) => {
      await send(rude, {}, 'smtps', '127.0.0.1');
      assert.ok(rude.heard.every((line) => line.startsWith('tls ')));
      assert.deepEqual(rude.names, []);
    });
  });

  test('needs a certificate for the name, from a known authority', async () => {
    const cases: [RudeOptions, Partial<SmtpOptions>][] = [
      [{ identity: identities.misnamed }, {}],
      [{ identity: identities.misnamed, implicitTls: true }, {}],
      [{ identity: identities.good }, { ca: identities.misnamed.cert }],
    ];
    for (const [rudeOptions, options] of cases) {
      await withRude({}, rudeOptions, async (rude) => {
        const failure = await failureOf(send(rude, options, rudeOptions.implicitTls ? 'smtps' : 'smtp'));
        assert.deepEqual([failure.step, failure.permanent], ['tls', false]);
        assert.ok(!rude.heard.some((line) => line.startsWith('tls ')), rude.heard.join('\n'));
      });
    }
    await withRude({}, { identity: identities.good }, async (rude) => {
      const target = toSmtpTarget(`smtp://localhost:${rude.port}`);
      const failure = await failureOf(sendMail(target, envelope, message, generous));
      assert.deepEqual([failure.step, (failure.cause as NodeJS.ErrnoException).code], [
        'tls', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      ]);
    });
  });

  test('does not begin on a connection that carries words for after it', async () => {
    const injected = '250-rude\r\n250 AUTH PLAIN\r\n';
    const late: Answer = (socket) => {
      socket.write('220 go on\r\n');
      setTimeout(() => socket.write(injected), 20);
    };
    const injections = [`220 go on\r\n${injected}`, '220 go on\r\n2', '220-go on\r\n220 on\r\n250 rude\r\n'];
    for (const starttls of injections) {
      await withRude({ starttls }, { identity: identities.good }, async (rude) => {
        const failure = await failureOf(send(rude));
        assert.deepEqual([failure.step, failure.permanent], ['tls', false]);
        assert.deepEqual(rude.heard, ['EHLO localhost', 'STARTTLS']);
      });
    }
    // Without an identity this server goes on in the clear, as someone in between would who has no key.
    await withRude({ ehlo: '250-x\r\n250 STARTTLS\r\n', starttls: late }, {}, async (rude) => {
      const failure = await failureOf(send(rude));
      assert.deepEqual([failure.step, failure.permanent], ['tls', false]);
    });
  });

  test('makes what the server promised before it void', async () => {
    const manners = { ehlo: '250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n', ehloAfterTls: '250 x\r\n' };
    await withRude(manners, { identity: identities.good }, async (rude) => {
      const failure = await failureOf(send(rude));
      assert.deepEqual([failure.step, failure.permanent], ['auth', false]);
      assert.ok(!rude.heard.some((line) => line.includes('AUTH')));
    });
  });

  test('that never gets going is given up', async () => {
    await withRude({ ehlo: '250-x\r\n250 STARTTLS\r\n' }, {}, async (rude) => {
      const failure = await failureOf(send(rude, { stepMs: 3000 }));
      assert.deepEqual([failure.step, failure.permanent], ['tls', false]);
    });
    for (const greeting of [undefined, '220 in the clear\r\n']) {
      await withRude({ greeting }, {}, async (rude) => {
        const failure = await failureOf(send(rude, { stepMs: 3000 }, 'smtps'));
        assert.deepEqual([failure.step, failure.permanent], ['tls', false]);
      });
    }
  });

  test('that should have been there from the start is thought of when nobody greets', async () => {
    await withRude({}, { identity: identities.good, implicitTls: true }, async (rude) => {
      const { message } = await failureOf(send(rude, { stepMs: 3000 }));
      assert.match(message, /^SMTP greeting: the server did not answer in time; if it speaks TLS .*: smtps:\/\/$/);
    });
  });

  test('AUTH LOGIN asks for one thing after the other', async () => {
    await withRude({ ehloAfterTls: '250-x\r\n250 auth login\r\n' }, { identity: identities.good }, async (rude) => {
      await send(rude);
      assert.deepEqual(rude.heard.slice(3, 6), [
        'tls AUTH LOGIN', 'tls dXNlcg==', `tls ${Buffer.from(password).toString('base64')}`,
      ]);
    });
  });

  test('AUTH PLAIN sends on a line of its own what would make the command too long', async () => {
    await withRude({}, { identity: identities.good }, async (rude) => {
      const target = toSmtpTarget(`smtp://user:${'x'.repeat(4000)}@localhost:${rude.port}`);
      await sendMail(target, envelope, message, { ...generous, ca: identities.ca });
      const response = Buffer.from(`\0user\0${'x'.repeat(4000)}`).toString('base64');
      assert.deepEqual(rude.heard.slice(3, 5), ['tls AUTH PLAIN', `tls ${response}`]);
    });
  });

  test('no other mechanism is tried', async () => {
    const others = '250-x\r\n250 AUTH XOAUTH2 CRAM-MD5 XPLAIN\r\n';
    await withRude({ ehloAfterTls: others }, { identity: identities.good }, async (rude) => {
      const failure = await failureOf(send(rude));
      assert.deepEqual([failure.step, failure.permanent], ['auth', false]);
      assert.ok(!rude.heard.some((line) => line.includes('AUTH')));
    });
  });
});
