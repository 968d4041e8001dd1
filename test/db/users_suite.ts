import assert from 'node:assert/strict';
import { test } from 'node:test';

import { uuidv7 } from '../../src/core/uuid.ts';
import type { Database } from '../../src/db/database.ts';
import type { Role, User } from '../../src/db/models.ts';
import * as sessions from '../../src/db/sessions.ts';
import * as users from '../../src/db/users.ts';
import type { WithDatabase } from './database_suite.ts';
import { startSession } from './sessions_suite.ts';

export const NOW = Date.parse('2026-01-31T12:00:00.250Z');

/** A new user; `at` moves the id in the order of the listing. */
export async function addUser(db: Database, email: string, role: Role = 'user', at = 0): Promise<User> {
  const user = { id: uuidv7(NOW + at), email, fullName: undefined, role, passwordHash: `hash of ${email}` };
  const inserted = await users.insert(db, user, NOW);
  assert.ok(inserted);
  return inserted;
}

const unchanged = { role: undefined, isActive: undefined, fullName: undefined };

export function usersSuite(within: WithDatabase): void {
  test(
    'a user is found by id and by address, in any case, as it was made',
    within(async (db) => {
      const email = 'Ada.Lovelace@Example.COM';
      const made: users.NewUser = { id: uuidv7(NOW), email, fullName: 'Ada 🦆', role: 'user', passwordHash: 'h' };
      const user = await users.insert(db, made, NOW);
      const expected = { ...made, emailVerifiedAt: undefined, isActive: true, createdAt: NOW, updatedAt: NOW };
      assert.deepEqual(user, expected);
      assert.deepEqual(await users.byId(db, made.id), expected);
      for (const email of [made.email, 'ada.lovelace@example.com', 'ADA.LOVELACE@EXAMPLE.COM']) {
        assert.deepEqual(await users.byEmail(db, email), expected);
      }
      for (const email of ['', 'ada.lovelace@example.co', '%', "' OR 1=1 --"]) {
        assert.equal(await users.byEmail(db, email), undefined);
      }
      assert.equal(await users.byId(db, uuidv7(NOW)), undefined);
    }),
  );

  test(
    'of many who want an address one gets it',
    within(async (db) => {
      const emails = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 'a@a.com' : 'A@A.COM'));
      const made = await Promise.all(
        emails.map((email) =>
          users.insert(db, { id: uuidv7(NOW), email, fullName: undefined, role: 'user', passwordHash: 'h' }, NOW),
        ),
      );
      const [winner, ...others] = made.filter((user) => user !== undefined);
      assert.deepEqual(others, []);
      assert.deepEqual(await users.byEmail(db, 'a@a.com'), winner);
    }),
  );

  test(
    'a name is set and cleared, and nobody is renamed who is gone',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const named = await users.setFullName(db, user.id, 'Ada', NOW + 1);
      assert.deepEqual(named, { ...user, fullName: 'Ada', updatedAt: NOW + 1 });
      const cleared = await users.setFullName(db, user.id, undefined, NOW + 2);
      assert.deepEqual(cleared, { ...user, updatedAt: NOW + 2 });
      assert.equal(await users.setFullName(db, uuidv7(NOW), 'x', NOW), undefined);
    }),
  );

  test(
    'a password is changed once from what it was, and the other sessions end',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const other = await addUser(db, 'b@a.com');
      const [keep, ended] = [await startSession(db, user), await startSession(db, user)];
      const foreign = await startSession(db, other);
      const change = (before: string, after: string, kept?: string) =>
        users.changePassword(db, { id: user.id, before, after, keep: kept }, NOW + 1);
      assert.equal(await change('wrong', 'new'), false);
      assert.ok(await sessions.bySid(db, ended.id));

      const both = await Promise.all([
        change(user.passwordHash, 'new 1', keep.id),
        change(user.passwordHash, 'new 2', keep.id),
      ]);
      assert.deepEqual(both.sort(), [false, true]);
      assert.equal(await sessions.bySid(db, ended.id), undefined);
      assert.ok(await sessions.bySid(db, keep.id));
      assert.ok(await sessions.bySid(db, foreign.id));

      const { passwordHash } = (await users.byId(db, user.id))!;
      assert.equal(await change(passwordHash, 'new 3'), true);
      assert.equal(await sessions.bySid(db, keep.id), undefined);
    }),
  );

  test(
    'managing writes what it names and nothing else',
    within(async (db) => {
      await addUser(db, 'admin@a.com', 'admin');
      const user = await addUser(db, 'a@a.com');
      const steps = [
        [{ fullName: 'Ada' }, { fullName: 'Ada' }],
        [{ isActive: false }, { fullName: 'Ada', isActive: false }],
        [{ role: 'admin' }, { fullName: 'Ada', isActive: false, role: 'admin' }],
        [{ fullName: null }, { fullName: undefined, isActive: false, role: 'admin' }],
        [{ isActive: true, fullName: 'A' }, { fullName: 'A', isActive: true, role: 'admin' }],
        [{ role: 'user', isActive: true }, { fullName: 'A', isActive: true, role: 'user' }],
      ] as const;
      for (const [i, [change, expected]] of steps.entries()) {
        const managed = await users.manage(db, user.id, { ...unchanged, ...change }, NOW + i + 1);
        assert.deepEqual(managed, { ...user, ...expected, updatedAt: NOW + i + 1 });
      }
      assert.equal(await users.manage(db, uuidv7(NOW), { ...unchanged, fullName: 'x' }, NOW), undefined);
    }),
  );

  test(
    'who is disabled loses every session, and nobody else does',
    within(async (db) => {
      const [user, other] = [await addUser(db, 'a@a.com'), await addUser(db, 'b@a.com')];
      const [one, two, foreign] = await Promise.all([user, user, other].map((who) => startSession(db, who)));
      await users.manage(db, user.id, { ...unchanged, fullName: 'Ada' }, NOW);
      assert.ok(await sessions.bySid(db, one!.id));
      await users.manage(db, user.id, { ...unchanged, isActive: false }, NOW);
      await users.manage(db, user.id, { ...unchanged, isActive: true }, NOW);
      assert.equal(await sessions.bySid(db, one!.id), undefined);
      assert.equal(await sessions.bySid(db, two!.id), undefined);
      assert.ok(await sessions.bySid(db, foreign!.id));
    }),
  );

  const lastAdmin: [what: string, attempt: (db: Database, id: string) => Promise<unknown>, refused: unknown][] = [
    ['demoted', (db, id) => users.manage(db, id, { ...unchanged, role: 'user' }, NOW), undefined],
    ['disabled', (db, id) => users.manage(db, id, { ...unchanged, isActive: false }, NOW), undefined],
    ['deleted', (db, id) => users.remove(db, id), false],
  ];
  for (const [what, attempt, refused] of lastAdmin) {
    test(
      `the last active administrator is not ${what}, one of two is`,
      within(async (db) => {
        const admin = await addUser(db, 'a@a.com', 'admin');
        const disabled = await addUser(db, 'b@a.com', 'admin');
        const session = await startSession(db, admin);
        await users.manage(db, disabled.id, { ...unchanged, isActive: false }, NOW);
        assert.equal(await attempt(db, admin.id), refused);
        assert.deepEqual(await users.byId(db, admin.id), admin);
        assert.ok(await sessions.bySid(db, session.id), 'a refused change ends no session');
        await users.manage(db, disabled.id, { ...unchanged, isActive: true }, NOW);
        assert.notEqual(await attempt(db, admin.id), refused);
        assert.equal(await attempt(db, disabled.id), refused);
      }),
    );

    test(
      `of many administrators who are ${what} at once one is left`,
      within(async (db) => {
        const admins = await Promise.all(Array.from({ length: 8 }, (_, i) => addUser(db, `a${i}@a.com`, 'admin')));
        const results = await Promise.all(admins.map(({ id }) => attempt(db, id)));
        assert.equal(results.filter((result) => result === refused).length, 1);
        const left = await db.all("SELECT id FROM users WHERE role = 'admin' AND is_active = 1", []);
        assert.equal(left.length, 1);
      }),
    );
  }

  test(
    'a removed user takes the sessions along, and is removed once',
    within(async (db) => {
      const user = await addUser(db, 'a@a.com');
      const session = await startSession(db, user);
      const removed = await Promise.all([users.remove(db, user.id), users.remove(db, user.id)]);
      assert.deepEqual(removed.sort(), [false, true]);
      assert.equal(await users.byId(db, user.id), undefined);
      assert.equal(await sessions.bySid(db, session.id), undefined);
      assert.deepEqual(await db.all('SELECT id FROM sessions', []), []);
      assert.ok(await addUser(db, 'a@a.com'), 'the address is free again');
    }),
  );

  test(
    'pages hold the newest first, each user once, by role and by the beginning of the address',
    within(async (db) => {
      const addresses = ['B@x.com', 'ab@x.com', 'a_@x.com', 'a%@x.com', 'AC@x.com', 'a@x.com', 'zz@x.com'];
      const made = [];
      for (const [i, email] of addresses.entries()) {
        made.push(await addUser(db, email, i % 3 === 0 ? 'admin' : 'user', i));
      }
      const newest = made.map(({ email }) => email).reverse();
      const admins = made.filter(({ role }) => role === 'admin').map(({ email }) => email).reverse();

      const walk = async (limit: number, role: Role | undefined, prefix: string | undefined): Promise<string[]> => {
        const seen: string[] = [];
        let after: string | undefined;
        for (;;) {
          const page = await users.list(db, { after, limit, role, prefix });
          assert.ok(page.length <= limit);
          seen.push(...page.map(({ email }) => email));
          if (page.length < limit) return seen;
          after = page.at(-1)!.id;
        }
      };
      for (const limit of [1, 2, 3, 7, 100]) {
        const cases: [role: Role | undefined, prefix: string | undefined, expected: string[]][] = [
          [undefined, undefined, newest],
          ['admin', undefined, admins],
          ['user', undefined, newest.filter((email) => !admins.includes(email))],
          [undefined, 'a', newest.filter((email) => /^a/i.test(email))],
          [undefined, 'AB@', ['ab@x.com']],
          [undefined, 'a%', ['a%@x.com']],
          [undefined, 'a_', ['a_@x.com']],
          [undefined, '%', []],
          [undefined, 'é', []],
          ['admin', 'a', ['a%@x.com']],
          ['user', 'a', ['a@x.com', 'AC@x.com', 'a_@x.com', 'ab@x.com']],
          [undefined, 'zz@x.com', ['zz@x.com']],
          [undefined, 'zz@x.comm', []],
        ];
        for (const [role, prefix, expected] of cases) {
          assert.deepEqual(await walk(limit, role, prefix), expected, `${limit} ${role} ${prefix}`);
        }
      }
    }),
  );

  test(
    'a prefix that more than a thousand have lists the same, newest first, page by page',
    within(async (db) => {
      const emails = Array.from({ length: 1300 }, (_, i) => `${i % 13 === 0 ? 'rare' : 'common'}${i}@x.com`);
      const sql = `
        INSERT INTO users (id, email, email_key, role, is_active, password_hash, created_at, updated_at)
        VALUES ($1, $2, $2, $3, 1, 'h', $4, $4)`;
      const role = (i: number): Role => (i % 100 === 1 ? 'admin' : 'user');
      await db.write(emails.map((email, i) => ({ sql, params: [uuidv7(NOW + i), email, role(i), NOW] })));
      for (const [prefix, of] of [['com', undefined], ['COMMON', 'admin'], ['common', 'user'], ['rare', undefined]] as const) {
        const expected = emails.filter((email, i) => email.startsWith(prefix.toLowerCase()) && (of ?? role(i)) === role(i));
        const seen: string[] = [];
        for (let after: string | undefined; ;) {
          const page = await users.list(db, { after, limit: 100, role: of, prefix });
          seen.push(...page.map(({ email }) => email));
          if (page.length < 100) break;
          after = page.at(-1)!.id;
        }
        assert.deepEqual(seen, expected.reverse(), prefix);
      }
    }),
  );
}
