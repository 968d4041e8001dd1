import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sendMail } from '../../src/wire/smtp.ts';
import type { Step } from '../../src/wire/smtp_failure.ts';
import { toSmtpTarget } from '../../src/wire/smtp_target.ts';
import { envelope, failureOf, generous, hasty, message, password } from '../helpers/smtp_client.ts';
import { createIdentities, noOpenssl } from '../helpers/smtp_identities.ts';
import type { Identities } from '../helpers/smtp_identities.ts';
import { dripping, dropping, endless, withRude } from '../helpers/smtp_rude.ts';
import type { Answer, Manners } from '../helpers/smtp_rude.ts';

describe('a rude server', { skip: noOpenssl, concurrency: 4 }, () => {
  let identities: Identities;
  before(() => {
    identities = createIdentities();
  });
  after(() => identities.remove());

  const steps: [Step, (answer: Answer) => Manners][] = [
    ['greeting', (answer) => ({ greeting: answer })],
    ['hello', (answer) => ({ ehlo: answer, helo: answer })],
    ['starttls', (answer) => ({ starttls: answer })],
    ['hello', (answer) => ({ ehloAfterTls: answer, helo: answer })],
    ['auth', (answer) => ({ auth: answer })],
    ['sender', (answer) => ({ sender: answer })],
    ['recipient', (answer) => ({ recipient: answer })],
    ['data', (answer) => ({ data: answer })],
    ['content', (answer) => ({ content: answer })],
  ];
  const echo = `535-5.7.8 no such user with ${password}\r\n535 ${Buffer.from(password).toString('base64')}\r\n`;
  const answers: [string, Answer, { permanent: boolean; replyCode?: number }][] = [
    ['answers 4xx', '451 4.3.0 later\r\n', { permanent: false, replyCode: 451 }],
    ['says 421 and hangs up', (socket) => socket.end('421 bye\r\n'), { permanent: false, replyCode: 421 }],
    ['answers 5xx', '554 5.7.1 never\r\n', { permanent: true, replyCode: 554 }],
    ['repeats the password', echo, { permanent: true, replyCode: 535 }],
    ['answers with a success of another kind', '214 help\r\n', { permanent: false, replyCode: 214 }],
    ['is silent', undefined, { permanent: false }],
    ['hangs up', dropping, { permanent: false }],
    ['hangs up within a line', (socket) => socket.end('250 o'), { permanent: false }],
    ['hangs up within a reply', (socket) => socket.end('250-o\r\n'), { permanent: false }],
    ['talks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', { permanent: false }],
    ['sends garbage', '\0\xff\x80\x01\r\n', { permanent: false }],
    ['ends lines with LF', '554 never\n', { permanent: false }],
    ['changes its mind within a reply', '250-yes\r\n554 no\r\n', { permanent: false }],
    ['gives two replies at once', '451 later\r\n451 later\r\n', { permanent: false, replyCode: 451 }],
    ['never ends a reply', endless('250-and another\r\n'), { permanent: false }],
    ['drips', dripping('250-and another\r\n'), { permanent: false }],
    ['sends a line of 8 MB', `250 ${'x'.repeat(8_388_608)}\r\n`, { permanent: false }],
  ];
  for (const [manner, answer, outcome] of answers) {
    test(`that ${manner}, at whichever step, ${outcome.permanent ? 'is final' : 'may be tried again'}`, async () => {
      await Promise.all(steps.map(async ([step, manners]) => {
        await withRude(manners(answer), { identity: identities.good }, async (rude) => {
          const target = toSmtpTarget(`smtp://user:${password}@localhost:${rude.port}`);
          const options = { ...(answer === undefined || manner === 'drips' ? hasty : generous), ca: identities.ca };
          const failure = await failureOf(sendMail(target, envelope, message, options));
          assert.equal(failure.step, step, failure.message);
          const { permanent, replyCode } = failure;
          assert.deepEqual({ permanent, replyCode }, { replyCode: undefined, ...outcome });
        });
      }));
    });
  }
});
