import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sendMail } from '../../src/wire/smtp.ts';
import type { Step } from '../../src/wire/smtp_failure.ts';
import { toSmtpTarget } from '../../src/wire/smtp_target.ts';
import { eventually } from '../helpers/mailbox.ts';
import { envelope, failureOf, generous, password } from '../helpers/smtp_client.ts';
import { createIdentities } from '../helpers/smtp_identities.ts';
import type { Identities } from '../helpers/smtp_identities.ts';
import { noRealServer, startReal } from '../helpers/smtp_real.ts';
import type { RealServer } from '../helpers/smtp_real.ts';

describe('a real server', { skip: noRealServer }, () => {
  let identities: Identities;
  let real: RealServer;
  before(async () => {
    identities = createIdentities();
    real = await startReal(identities);
  });
  after(async () => {
    await real.close();
    identities.remove();
  });

  const account = `app%40example.org:${encodeURIComponent('päss:w%rd')}@`;
  const text = 'Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\n. \r\nend\r\n';
  const ways: [keyof RealServer['ports'], string][] = [
    ['clear', 'smtp://'],
    ['starttls', `smtp://${account}`],
    ['login', `smtp://${account}`],
    ['implicit', `smtps://${account}`],
  ];
  for (const [kind, prefix] of ways) {
    test(`keeps the mail byte for byte (${kind})`, async () => {
      const target = toSmtpTarget(`${prefix}localhost:${real.ports[kind]}`);
      const to = `${kind}@example.org`;
      await sendMail(target, { from: 'server@example.org', to }, text, { ...generous, ca: identities.ca });
      const kept = await eventually('what was kept', () => {
        const found = real.kept.filter((each) => each.to[0] === to);
        return found.length === 0 ? undefined : found;
      });
      assert.deepEqual(kept, [{
        from: 'server@example.org',
        to: [to],
        authenticated: kind === 'clear' ? null : true,
        content: text,
      }]);
    });
  }

  test('says what is final and what is not', async () => {
    const wrong = `smtp://app%40example.org:${password}@localhost:${real.ports.starttls}`;
    const clear = `smtp://localhost:${real.ports.clear}`;
    const cases: [string, string, string, [Step, boolean, number | undefined]][] = [
      [wrong, 'ann@example.org', text, ['auth', true, 535]],
      [`smtp://localhost:${real.ports.starttls}`, 'ann@example.org', text, ['sender', true, 530]],
      [clear, 'nobody@example.org', text, ['recipient', true, 550]],
      [clear, 'later@example.org', text, ['recipient', false, 450]],
      [clear, 'ann@example.org', 'x\r\n'.repeat(10_000), ['mail', true, undefined]],
    ];
    for (const [url, to, content, outcome] of cases) {
      const options = { ...generous, ca: identities.ca };
      const failure = await failureOf(sendMail(toSmtpTarget(url), { ...envelope, to }, content, options));
      assert.deepEqual([failure.step, failure.permanent, failure.replyCode], outcome);
    }
  });
});
