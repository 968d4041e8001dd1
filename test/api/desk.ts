import type { Answer, TestServer } from '../helpers/server.ts';
import type { Pair } from './story.ts';

export const USERS = '/api/v1/users';

/** What an administrator does to accounts; `by` another one when given. */
export interface Desk {
  admin: Pair;
  get(target: string): Promise<Answer>;
  patch(id: string, body: unknown, by?: Pair): Promise<Answer>;
  remove(id: string, by?: Pair): Promise<Answer>;
}

export async function openDesk(server: TestServer): Promise<Desk> {
  const admin = await server.loginAdmin();
  return {
    admin,
    get: (target) => server.call('GET', target, { token: admin.access_token }),
    patch: (id, body, by = admin) => server.call('PATCH', `${USERS}/${id}`, { token: by.access_token, body }),
    remove: (id, by = admin) => server.call('DELETE', `${USERS}/${id}`, { token: by.access_token }),
  };
}
