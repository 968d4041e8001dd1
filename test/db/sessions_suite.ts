import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { uuidv7 } from '../../src/core/uuid.ts';
import type { Database } from '../../src/db/database.ts';
import type { Session, User } from '../../src/db/models.ts';
import * as sessions from '../../src/db/sessions.ts';
import * as users from '../../src/db/users.ts';
import type { WithDatabase } from './database_suite.ts';
import { addUser, NOW } from './users_suite.ts';

const DAY = 86_400_000;

const newSession = (user: User, at: number, part: Partial<Session> = {}): Session => ({
  id: uuidv7(NOW + at),
  userId: user.id,
  createdAt: NOW + at,
  lastUsedAt: NOW + at,
  expiresAt: NOW + at + DAY,
  ip: '192.0.2.1',
  userAgent: 'test',
  refreshJti: randomUUID(),
  previousJti: undefined,
  rotatedAt: NOW + at,
  ...part,
});

export async function startSession(db: Database, user: User, at = 0, part: Partial<Session> = {}): Promise<Session> {
  const session = newSession(user, at, part);
  assert.equal(await sessions.start(db, session, user.passwordHash, undefined), true);
  return session;
}

export function sessionsSuite(within: WithDatabase): void {
  test(
    'a session is read with its user, as both are',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const session = await startSession(db, user, 0, { userAgent: undefined, ip: '2001:db8::1' });
      assert.deepEqual(await sessions.bySid(db, session.id), { session, user });
      const named = await users.setFullName(db, user.id, 'Ada', NOW + 1);
      assert.deepEqual(await sessions.bySid(db, session.id), { session, user: named });
      assert.equal(await sessions.bySid(db, uuidv7(NOW)), undefined);
    }),
  );

  test(
    'a session starts only for who is there, active, and still has the password that was checked',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const start = (hash: string, id = user.id) =>
        sessions.start(db, newSession({ ...user, id }, 0), hash, undefined);
      assert.equal(await start('another hash'), false);
      assert.equal(await start(user.passwordHash, uuidv7(NOW)), false);
      await users.manage(db, user.id, { role: undefined, isActive: false, fullName: undefined }, NOW);
      assert.equal(await start(user.passwordHash), false);
      await users.manage(db, user.id, { role: undefined, isActive: true, fullName: undefined }, NOW);
      assert.equal(await start(user.passwordHash), true);
      assert.equal((await sessions.live(db, user.id, NOW)).length, 1);
    }),
  );

  test(
    'a new hash rides along with the session and is not stored without it',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const hash = async () => (await users.byId(db, user.id))!.passwordHash;
      const rehash = (after: string) => users.rehash(user.id, user.passwordHash, after);
      assert.equal(await sessions.start(db, newSession(user, 0), 'wrong', rehash('new')), false);
      assert.equal(await hash(), user.passwordHash);
      assert.equal(await sessions.start(db, newSession(user, 0), user.passwordHash, rehash('new')), true);
      assert.equal(await hash(), 'new');
      assert.equal((await users.byId(db, user.id))!.updatedAt, user.updatedAt);
    }),
  );

  test(
    'one session too many ends the oldest, whatever the clock says',
    within(async (db) => {
      const [user, other] = [await addUser(db, 'a@a.com'), await addUser(db, 'b@a.com')];
      const foreign = await startSession(db, other, -1000);
      const made: Session[] = [];
      for (let i = 0; i < sessions.MAX_SESSIONS; i++) made.push(await startSession(db, user, i));
      assert.equal((await sessions.live(db, user.id, NOW)).length, sessions.MAX_SESSIONS);
      const before = await startSession(db, user, -50);
      const ids = (await sessions.live(db, user.id, NOW)).map(({ id }) => id);
      assert.deepEqual(ids, [...made.slice(1).map(({ id }) => id).reverse(), before.id]);
      assert.ok(await sessions.bySid(db, foreign.id));
    }),
  );

  test(
    'expired sessions are not listed and go with the next login',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const old = await startSession(db, user, -2, { expiresAt: NOW + 10 });
      const good = await startSession(db, user, -1, { expiresAt: NOW + 11 });
      const live = async (now: number) => (await sessions.live(db, user.id, now)).map(({ id }) => id);
      assert.deepEqual(await live(NOW + 9), [good.id, old.id]);
      assert.deepEqual(await live(NOW + 10), [good.id]);
      assert.ok(await sessions.bySid(db, old.id));
      await startSession(db, user, 10);
      assert.equal(await sessions.bySid(db, old.id), undefined);
      assert.ok(await sessions.bySid(db, good.id));
    }),
  );

  test(
    'of many who rotate the same token one does',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const session = await startSession(db, user);
      const { id, refreshJti: first } = session;
      const successors = Array.from({ length: 20 }, () => randomUUID());
      const won = await Promise.all(successors.map((to) => sessions.rotate(db, id, first, to, NOW + 5)));
      const winner = successors[won.indexOf(true)]!;
      assert.equal(won.filter(Boolean).length, 1);
      const rotated = { ...session, refreshJti: winner, previousJti: first, rotatedAt: NOW + 5, lastUsedAt: NOW + 5 };
      assert.deepEqual((await sessions.bySid(db, id))!.session, rotated);
      assert.equal(await sessions.rotate(db, id, first, randomUUID(), NOW + 6), false);
      assert.equal(await sessions.rotate(db, uuidv7(NOW), winner, randomUUID(), NOW + 6), false);
      assert.equal(await sessions.touch(db, id, NOW + 7), true);
      assert.deepEqual((await sessions.bySid(db, id))!.session, { ...rotated, lastUsedAt: NOW + 7 });
      assert.equal(await sessions.touch(db, uuidv7(NOW), NOW), false);
    }),
  );

  test(
    'a session ends by its id, by its owner alone, or with all of the owner',
    within(async (db) => {
      const [user, other] = [await addUser(db, 'a@a.com'), await addUser(db, 'b@a.com')];
      const made = await Promise.all([user, user, user, other].map((who, i) => startSession(db, who, i)));
      const [a, b, c, foreign] = made.map(({ id }) => id) as [string, string, string, string];
      await sessions.end(db, a);
      await sessions.end(db, a);
      assert.equal(await sessions.endOwn(db, foreign, user.id, NOW), false);
      assert.equal(await sessions.endOwn(db, a, user.id, NOW), false);
      assert.equal(await sessions.endOwn(db, b, user.id, NOW + 2 * DAY), false, 'it has expired by then');
      assert.equal(await sessions.endOwn(db, b, user.id, NOW), true);
      assert.deepEqual((await sessions.live(db, user.id, NOW)).map(({ id }) => id), [c]);
      await sessions.endAll(db, user.id);
      assert.deepEqual(await sessions.live(db, user.id, NOW), []);
      assert.deepEqual((await sessions.live(db, other.id, NOW)).map(({ id }) => id), [foreign]);
    }),
  );

  test(
    'there is no session without a user',
    within(async (db) => {
      const sql = `INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at, ip, refresh_jti, rotated_at)
        VALUES ('s', 'nobody', 0, 0, 0, '', 'j', 0)`;
      await assert.rejects(db.write([{ sql, params: [] }]));
    }),
  );
}
