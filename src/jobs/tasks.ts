import { deliverMail } from './deliver_mail.ts';
import { exportUsers } from './export_users.ts';
import { purgeExpired } from './purge_expired.ts';
import type { AnyTask } from './task.ts';

/** All that is done in the background. */
export const tasks: readonly AnyTask[] = [deliverMail, exportUsers, purgeExpired];
