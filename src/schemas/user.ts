import { EMAIL, EMAIL_MAX_LENGTH } from '../core/email.ts';
import { roles } from '../db/models.ts';
import type { User } from '../db/models.ts';
import { array, boolean, integer, nullable, object, oneOf, optional, partial, string } from '../http/schema.ts';
import type { Infer } from '../http/schema.ts';

export const Email = string({
  maxLength: EMAIL_MAX_LENGTH,
  pattern: EMAIL,
  format: 'email',
  description: 'Compared without case, kept as typed.',
  examples: ['ada@example.com'],
});

export const FullName = nullable(string({ maxLength: 200, examples: ['Ada Lovelace'] }));

export const Uuid = string({ format: 'uuid', examples: ['0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21'] });
export const Time = string({
  format: 'date-time',
  description: 'RFC 3339, UTC.',
  examples: ['2026-01-31T12:00:00.000Z'],
});

const Role = oneOf(roles, { examples: ['user'] });

const properties = {
  id: Uuid,
  email: string({ format: 'email', examples: ['ada@example.com'] }),
  email_verified: boolean(),
  full_name: FullName,
  role: Role,
  is_active: boolean(),
  created_at: Time,
  updated_at: Time,
};

export const UserOut = object(properties, { title: 'User' });
export type UserOut = Infer<typeof UserOut>;

/** The only way a user leaves. */
export const toUserOut = (user: User): UserOut => ({
  id: user.id,
  email: user.email,
  email_verified: user.emailVerifiedAt !== undefined,
  full_name: user.fullName ?? null,
  role: user.role,
  is_active: user.isActive,
  created_at: toTime(user.createdAt),
  updated_at: toTime(user.updatedAt),
});

/** Recent results: the same few times leave again and again, and making their text is a third of reading a user. */
const times = new Map<number, string>();
const MAX_TIMES = 1_000;

export function toTime(ms: number): string {
  let text = times.get(ms);
  if (text !== undefined) return text;
  if (times.size >= MAX_TIMES) times.clear();
  times.set(ms, (text = new Date(ms).toISOString()));
  return text;
}

/** What a user may change of the own account. */
export const UserPatch = object({ full_name: optional(FullName) }, { title: 'UserPatch' });

/** What an administrator may change of any. */
export const ManagedUserPatch = object(
  { role: optional(Role), is_active: optional(boolean()), full_name: optional(FullName) },
  { title: 'ManagedUserPatch' },
);

const fieldNames = Object.keys(properties) as (keyof typeof properties)[];

export const UserListQuery = object({
  limit: optional(integer({ minimum: 1, maximum: 100, default: 20, description: 'Users a page.' })),
  cursor: optional(string({ description: '`next_cursor` of the page before.' })),
  fields: optional(
    string({
      pattern: `^(?:${fieldNames.join('|')})(?:,(?:${fieldNames.join('|')}))*$`,
      description: `A projection: names with commas between, of ${fieldNames.join(', ')}.`,
      examples: ['id,email'],
    }),
  ),
  role: optional(Role),
  q: optional(string({ maxLength: EMAIL_MAX_LENGTH, description: 'What the address begins with.' })),
});

/** A user, or the fields of one that were asked for. */
const UserProjection = object(partial(properties), {
  title: 'UserProjection',
  description: 'All fields unless `fields` names some.',
});

export const UserPage = object(
  {
    items: array(UserProjection, { maxItems: 100 }),
    next_cursor: nullable(string({ description: 'Null on the last page.' })),
  },
  { title: 'UserPage' },
);

export function toUserProjection(user: User, fields: string | undefined): Partial<UserOut> {
  const out = toUserOut(user);
  if (fields === undefined) return out;
  const names = fields.split(',') as (keyof UserOut)[];
  return Object.fromEntries(names.map((name) => [name, out[name]]));
}
