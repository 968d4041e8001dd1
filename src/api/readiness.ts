import { then } from '../core/maybe.ts';
import type { Maybe } from '../core/maybe.ts';
import { object, oneOf } from '../http/schema.ts';
import type { App } from './deps.ts';

/** The parts of the server, each with what it says of itself when it is well and otherwise. */
const words = {
  database: ['ok', 'away'],
  migrations: ['ok', 'pending'],
  limiter: ['ok', 'fallback'],
  event_loop: ['ok', 'slow'],
  password_queue: ['ok', 'full'],
  draining: ['no', 'yes'],
} as const;

type Part = keyof typeof words;
export type Parts = { [P in Part]: (typeof words)[P][number] };

const part = <P extends Part>(name: P) => oneOf<(typeof words)[P][number]>(words[name]);

export const PartsOut = object({
  database: part('database'),
  migrations: part('migrations'),
  limiter: part('limiter'),
  event_loop: part('event_loop'),
  password_queue: part('password_queue'),
  draining: part('draining'),
});

/** Why no request should be sent here, the gravest first. A limiter that falls back still limits. */
const reasons: readonly [part: Part, detail: string][] = [
  ['draining', 'The server is stopping.'],
  ['database', 'The database does not answer.'],
  ['migrations', 'The database lacks a migration.'],
  ['event_loop', 'The server is more than a second behind.'],
  ['password_queue', 'No more passwords can wait to be checked.'],
];

const SLOW_MS = 1000;

/** What each part says now; never throws. */
export async function look(app: App): Promise<Parts> {
  // At once: a database that hangs makes each of them wait.
  const [database, current] = await Promise.all([
    says(() => then(app.db.ping(), () => true)), says(() => app.schemaIsCurrent()),
  ]);
  return {
    database: database ? 'ok' : 'away',
    // Without a database nobody knows, and one fault is not told as two.
    migrations: current || !database ? 'ok' : 'pending',
    limiter: app.limiterIsUp() ? 'ok' : 'fallback',
    event_loop: app.lagMs() > SLOW_MS ? 'slow' : 'ok',
    password_queue: app.passwords.full ? 'full' : 'ok',
    draining: app.isDraining() ? 'yes' : 'no',
  };
}

async function says(ask: () => Maybe<boolean>): Promise<boolean> {
  try {
    return await ask();
  } catch {
    return false;
  }
}

/** Why the server should not be sent requests; undefined when it should. */
export const objection = (parts: Parts): string | undefined =>
  reasons.find(([name]) => parts[name] !== words[name][0])?.[1];
