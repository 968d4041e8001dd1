import type { Sources } from '../core/load_config.ts';
import { toMailbox } from './mail_address.ts';
import { toMailTarget, toPublicHost } from './mail_url.ts';
import { toPostgresAddress } from './postgres_url.ts';
import { toRedisTarget } from './redis_target.ts';

/** What only those who speak to other servers can tell of a setting: each throws a sentence that does not repeat it. */
export const settingChecks: NonNullable<Sources['checks']> = {
  DATABASE_URL: (url) => void (url.startsWith('sqlite:') || toPostgresAddress(url)),
  REDIS_URL: toRedisTarget,
  MAIL_URL: toMailTarget,
  MAIL_FROM: toMailbox,
  PUBLIC_URL: toPublicHost,
};
