import { deliverMail } from './deliver_mail.ts';
import type { AnyTask } from './task.ts';

/** All that is done in the background. */
export const tasks: readonly AnyTask[] = [deliverMail];
