import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { sendMail } from '../../src/wire/smtp.ts';
import { toSmtpTarget } from '../../src/wire/smtp_target.ts';
import { envelope, failureOf, generous, hasty, message, password } from '../helpers/smtp_client.ts';
import { dropping, endless, startRude, withRude } from '../helpers/smtp_rude.ts';
import type { Answer } from '../helpers/smtp_rude.ts';

describe('in the clear', () => {
  test('a mail is handed over command by command', async () => {
    await withRude({}, {}, async (rude) => {
      const text = 'a\n.\n..b\rc\r\n\r\n.d';
      await sendMail(toSmtpTarget(`smtp://127.0.0.1:${rude.port}`), envelope, text, generous);
      assert.deepEqual(rude.heard, [
        'EHLO localhost',
        'MAIL FROM:<server@example.org> SIZE=20',
        'RCPT TO:<ann@example.org>',
        'DATA',
        'a', '..', '...b', 'c', '', '..d',
        '.',
        'QUIT',
      ]);
    });
  });

  test('a server that knows no EHLO gets HELO, and is asked for no extension', async () => {
    await withRude({ ehlo: '502 what?\r\n' }, {}, async (rude) => {
      await sendMail(toSmtpTarget(`smtp://127.0.0.1:${rude.port}`), envelope, message, generous);
      assert.deepEqual(rude.heard.slice(0, 3), ['EHLO localhost', 'HELO localhost', 'MAIL FROM:<server@example.org>']);
    });
  });

  test('nothing that ends an address or a line reaches a command: not even a connection is made', async () => {
    await withRude({}, {}, async (rude) => {
      for (const address of [
        'a@b.org\r\nRCPT TO:<evil@b.org>', 'a@b.org>\r\nDATA', 'a@b.org> SIZE=1', '<a@b.org>', 'a b@c.org', 'a@b .org',
        'a\0@b.org', 'a@b.org\n', '\ra@b.org', 'ä@b.org', 'a@bücher.org', '"a b"@c.org', 'a@[127.0.0.1]', 'a@b@c.org',
        'a..b@c.org', '.a@c.org', 'a@c..org', 'a@.org', 'a@-c.org', '@b.org', 'a@', 'a', '', `${'a'.repeat(250)}@b.org`,
        'a@b.org\u2028', 'a@b.org\x7f',
      ]) {
        for (const hostile of [{ ...envelope, to: address }, { ...envelope, from: address }]) {
          const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
          const failure = await failureOf(sendMail(target, hostile, message, generous));
          assert.deepEqual([failure.step, failure.permanent], ['mail', true], address);
        }
      }
      assert.equal(rude.connections, 0);
    });
  });

  test('a command that would be two lines is a bug, and is not sent', async () => {
    await withRude({}, {}, async (rude) => {
      const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
      const options = { ...generous, clientName: 'localhost\r\nMAIL FROM:<evil@example.org>' };
      await assert.rejects(sendMail(target, envelope, message, options), /one line of printable ASCII/);
      assert.deepEqual(rude.heard, ['QUIT']);
    });
  });

  test('the beginning of a reply before its command ends the conversation', async () => {
    await withRude({ greeting: '220 x\r\n250', ehlo: ' x\r\n' }, {}, async (rude) => {
      const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
      const failure = await failureOf(sendMail(target, envelope, message, generous));
      assert.deepEqual([failure.step, failure.permanent], ['hello', false]);
      assert.deepEqual(rude.heard, []);
    });
  });

  test('a message that is too large, too wide or no ASCII text is refused for good before connecting', async () => {
    await withRude({}, {}, async (rude) => {
      for (const text of ['x\n'.repeat(50_001), 'x'.repeat(999), 'ä', 'a\0b', 'a\x1bb', '\x7f']) {
        const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
        const failure = await failureOf(sendMail(target, envelope, text, generous));
        assert.deepEqual([failure.step, failure.permanent], ['mail', true]);
      }
      assert.equal(rude.connections, 0);
      await sendMail(toSmtpTarget(`smtp://127.0.0.1:${rude.port}`), envelope, '.'.repeat(998), generous);
      assert.ok(rude.heard.includes('.'.repeat(999)));
    });
  });

  test('a message larger than the server says it takes is not begun', async () => {
    await withRude({ ehlo: '250-x\r\n250 SIZE 10\r\n' }, {}, async (rude) => {
      const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
      const failure = await failureOf(sendMail(target, envelope, message, generous));
      assert.deepEqual([failure.step, failure.permanent, failure.replyCode], ['mail', true, undefined]);
      assert.deepEqual(rude.heard, ['EHLO localhost', 'QUIT']);
    });
  });

  test('a password is not sent, not even on this machine and not even when AUTH is offered', async () => {
    for (const ehlo of ['250-x\r\n250 AUTH PLAIN LOGIN\r\n', '250 x\r\n', '502 what?\r\n']) {
      await withRude({ ehlo }, {}, async (rude) => {
        const target = toSmtpTarget(`smtp://user:${password}@127.0.0.1:${rude.port}`);
        const failure = await failureOf(sendMail(target, envelope, message, generous));
        assert.deepEqual([failure.step, failure.permanent], ['auth', false]);
        assert.ok(!rude.heard.some((line) => /AUTH|MAIL/.test(line)), rude.heard.join('\n'));
      });
    }
  });

  test('this machine is whatever leads to a loopback address', async () => {
    const names = [['127.0.0.1', 'localhost'], ['127.9.8.7', '127.9.8.7'], ['127.0.0.1', '[::ffff:7f00:1]']];
    for (const [host, name] of names) {
      await withRude({}, { host: host! }, async (rude) => {
        await sendMail(toSmtpTarget(`smtp://${name}:${rude.port}`), envelope, message, generous);
        assert.equal(rude.connections, 1);
      });
    }
  });

  const interfaces = Object.values(networkInterfaces()).flat();
  const elsewhere = interfaces.find((each) => !each!.internal && each!.family === 'IPv4');
  const skip = elsewhere === undefined && 'needs an address of this machine that is not loopback';
  test('nobody but this machine is talked to', { skip }, async () => {
    const host = elsewhere!.address;
    for (const ehlo of ['250 x\r\n', '502 what?\r\n']) {
      await withRude({ ehlo }, { host }, async (rude) => {
        const target = toSmtpTarget(`smtp://${host}:${rude.port}`);
        const failure = await failureOf(sendMail(target, envelope, message, generous));
        assert.deepEqual([failure.step, failure.permanent], ['starttls', false]);
        assert.ok(!rude.heard.some((line) => line.startsWith('MAIL')));
      });
    }
  });

  test('a server that is not there may be tried again', async () => {
    const rude = await startRude({});
    await rude.close();
    const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
    const failure = await failureOf(sendMail(target, envelope, message, generous));
    assert.deepEqual([failure.step, failure.permanent], ['connect', false]);
  });

  test('a mail that was taken stays taken, whatever becomes of QUIT', async () => {
    for (const quit of [undefined, dropping, '500 no\r\n', 'garbage', endless('221-x\r\n')]) {
      await withRude({ quit }, {}, (rude) =>
        sendMail(toSmtpTarget(`smtp://127.0.0.1:${rude.port}`), envelope, message, hasty));
    }
  });

  test('a conversation has an end even when every step keeps within its time', async () => {
    const soon = (text: string): Answer => (socket) => void setTimeout(() => socket.write(text), 120);
    const manners = { greeting: soon('220 x\r\n'), ehlo: soon('250 x\r\n'), sender: soon('250 x\r\n') };
    await withRude({ ...manners, recipient: soon('250 x\r\n') }, {}, async (rude) => {
      const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
      const failure = await failureOf(sendMail(target, envelope, message, { ...generous, totalMs: 300 }));
      assert.equal(failure.permanent, false);
      assert.match(failure.message, /conversation took too long/);
    });
  });

  test('is broken off by its signal, before and in the middle', async () => {
    await withRude({ recipient: undefined }, {}, async (rude) => {
      const target = toSmtpTarget(`smtp://127.0.0.1:${rude.port}`);
      const early = await failureOf(sendMail(target, envelope, message, { ...generous, signal: AbortSignal.abort() }));
      assert.deepEqual([early.step, early.permanent], ['connect', false]);
      const stop = new AbortController();
      const delivery = failureOf(sendMail(target, envelope, message, { ...generous, signal: stop.signal }));
      while (!rude.heard.some((line) => line.startsWith('RCPT'))) await new Promise((done) => setTimeout(done, 5));
      stop.abort();
      const middle = await delivery;
      assert.deepEqual([middle.step, middle.permanent], ['recipient', false]);
    });
  });
});
