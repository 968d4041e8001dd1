import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { SmtpOptions } from '../../src/wire/smtp.ts';
import { SmtpFailure } from '../../src/wire/smtp_failure.ts';

export const envelope = { from: 'server@example.org', to: 'ann@example.org' };
export const message = 'Subject: x\r\n\r\nhello\r\n';
export const password = 'hunter2-hunter2';

export const generous: SmtpOptions = { clientName: 'localhost', maxBytes: 100_000, stepMs: 60_000, totalMs: 120_000 };
/** For steps that are meant to run out of time. */
export const hasty: SmtpOptions = { ...generous, stepMs: 3000 };

/** The failure of a delivery that has to fail; nothing that can be printed of it holds the password. */
export async function failureOf(delivery: Promise<void>): Promise<SmtpFailure> {
  const outcome: unknown = await delivery.then(() => 'delivered', (error: unknown) => error);
  assert.ok(outcome instanceof SmtpFailure, inspect(outcome));
  const shown = inspect(outcome, { depth: 9, showHidden: true });
  for (const secret of [password, Buffer.from(password).toString('base64').slice(0, 12)]) {
    assert.ok(!shown.includes(secret), shown);
  }
  return outcome;
}
