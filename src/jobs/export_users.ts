import * as exports from '../db/exports.ts';
import type { Export } from '../db/models.ts';
import * as users from '../db/users.ts';
import { object, propertiesOf } from '../http/schema.ts';
import { toUserOut, UserOut } from '../schemas/user.ts';
import { task } from './task.ts';

const PAGE = 250;
/** Of one export; a million users or so. */
const MAX_BYTES = 256 << 20;

const columns = Object.keys(propertiesOf(UserOut)) as (keyof UserOut)[];

class TooLarge extends Error {}

/**
 * All users as CSV, in the order in which they came. Each page is one write, which also notes how far it went: after
 * a crash the next attempt goes on behind the last page. The text is kept in the database, where every instance finds
 * it.
 */
export const exportUsers = task({
  kind: 'export.users',
  payload: object({}),
  maxAttempts: 5,
  isFinal: (error) => error instanceof TooLarge,
  async handler({ db, now, jobId, signal }) {
    const { csvRecord } = await import('../core/csv.ts');
    let state = await exports.byId(db, jobId, now());
    while (state !== undefined && state.finishedAt === undefined) {
      signal.throwIfAborted();
      if (state.bytesWritten > MAX_BYTES) throw new TooLarge('there are too many users for one export');
      const page = await users.from(db, state.lastUserId, PAGE);
      const header = state.chunks === 0 ? csvRecord(columns) : '';
      const records = page.map((user) => {
        const out = toUserOut(user);
        return csvRecord(columns.map((column) => out[column]));
      });
      const next: Export | undefined = await exports.addChunk(db, state, {
        content: header + records.join(''),
        rows: page.length,
        lastUserId: page.at(-1)?.id ?? state.lastUserId,
        finishedAt: page.length < PAGE ? now() : undefined,
      });
      if (next === undefined) throw new Error('another worker writes this export');
      state = next;
    }
  },
});
