import { emailKey, EMAIL_MAX_LENGTH } from '../core/email.ts';
import { Failure } from '../core/errors.ts';
import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import { chargeItem, isSpent, retryAfter } from '../core/rate_limit.ts';
import type { Take } from '../core/rate_limit.ts';
import { networkOf } from '../http/client_ip.ts';
import type { Exchange } from '../http/exchange.ts';
import type { App } from './deps.ts';

/** Takes a token of each bucket, or none and throws the 429; what was taken for the request before is given back. */
export function charge(app: App, exchange: Exchange, takes: readonly Take[]): Maybe<void> {
  return then(app.buckets.take(takes), ({ refused, untilFull }) => {
    if (refused < 0) {
      takes.forEach((take, i) => exchange.charges.push({ take, untilFull: untilFull[i]!, refused: false }));
      return;
    }
    const before = exchange.charges;
    const isRefused = (i: number): boolean => i === refused || isSpent(takes[i]!.policy, untilFull[i]!);
    const charges = takes.map((take, i) => ({ take, untilFull: untilFull[i]!, refused: isRefused(i) }));
    exchange.charges = [...before, ...charges];
    // Several may be without a token: the longest wait is the true one.
    const waits = charges.map((each) => (each.refused ? retryAfter(each.take.policy, each.untilFull) : 0));
    const failure = new Failure('rate_limited', undefined, { retryAfter: Math.max(...waits) });
    if (before.length === 0) throw failure;
    return then(refund(app, exchange, before.map(({ take }) => take)), () => {
      throw failure;
    });
  });
}

/** Gives back what the request took of these buckets. */
async function refund(app: App, exchange: Exchange, takes: readonly Take[]): Promise<void> {
  await Promise.all(takes.map((take) => app.buckets.giveBack(take)));
  for (const each of exchange.charges) {
    if (takes.includes(each.take)) each.untilFull = Math.max(0, each.untilFull - each.take.policy.cost);
  }
}

/**
 * Runs a check of a password against the bucket that counts wrong ones for this address, whether or not it has an
 * account, and the client's network. The token is taken first, so that guesses at the same moment count too, and given
 * back unless the password was wrong: what was right, or could not be checked, was no guess.
 */
export async function guess<T>(app: App, exchange: Exchange, email: string, check: () => Promise<T>): Promise<T> {
  const account = emailKey(email.slice(0, EMAIL_MAX_LENGTH));
  const attempt = { policy: app.limits['login-failures'], key: `${account} ${networkOf(exchange.ip)}` };
  await charge(app, exchange, [attempt]);
  let wrong = false;
  try {
    return await check();
  } catch (error) {
    wrong = error instanceof Failure && error.code === 'invalid_credentials';
    throw error;
  } finally {
    if (!wrong) await refund(app, exchange, [attempt]);
  }
}

/** Adds what the client is told of its limits (draft-ietf-httpapi-ratelimit-headers): every policy that applied. */
export function writeLimits({ charges, headers }: Exchange): void {
  if (charges.length === 1) {
    headers.push('RateLimit-Policy', charges[0]!.take.policy.item, 'RateLimit', chargeItem(charges[0]!));
  } else if (charges.length > 1) {
    const policies = charges.map(({ take }) => take.policy.item).join(', ');
    headers.push('RateLimit-Policy', policies, 'RateLimit', charges.map(chargeItem).join(', '));
  }
}
