import assert from 'node:assert/strict';
import { test } from 'node:test';

import { usesPostgres } from '../helpers/backends.ts';
import { startServer } from '../helpers/server.ts';
import type { Answer, TestServer } from '../helpers/server.ts';

export interface Pair {
  access_token: string;
  refresh_token: string;
}

type Story = (server: TestServer) => Promise<void>;

/** A test with a server of its own. */
export function story(title: string, settings: Record<string, string>, tell: Story, skip?: string | false): void {
  test(title, { skip: skip ?? false }, async () => {
    const server = await startServer(settings);
    try {
      await tell(server);
    } finally {
      await server.close();
    }
  });
}

/** A test of what happens to the file of the database. */
export const storyOfFile = (title: string, settings: Record<string, string>, tell: Story): void =>
  story(title, settings, tell, usesPostgres && 'the database is no file');

export const me = (server: TestServer, { access_token: token }: Pair): Promise<Answer> =>
  server.call('GET', '/api/v1/users/me', { token });

export const refresh = (server: TestServer, { refresh_token }: { refresh_token: string }): Promise<Answer> =>
  server.call('POST', '/api/v1/auth/refresh', { body: { refresh_token } });

export const logout = (server: TestServer, { refresh_token }: { refresh_token: string }): Promise<Answer> =>
  server.call('POST', '/api/v1/auth/logout', { body: { refresh_token } });

export const logIn = (server: TestServer, email: string, password: string, ip?: string): Promise<Answer> =>
  server.call('POST', '/api/v1/auth/login', {
    body: { email, password },
    ...(ip === undefined ? {} : { headers: { 'X-Forwarded-For': ip } }),
  });

/** Changes the password of an account from the first word to the second. */
export const changePassword = (
  server: TestServer,
  { access_token: token }: Pair,
  current_password: string,
  new_password: string,
): Promise<Answer> => server.call('POST', '/api/v1/auth/password', { token, body: { current_password, new_password } });

/** A change of an account by the administrator. */
export async function manage(server: TestServer, id: string, body: unknown): Promise<Answer> {
  const { access_token: token } = await server.loginAdmin();
  return server.call('PATCH', `/api/v1/users/${id}`, { token, body });
}

/** The pair of a refresh that must succeed. */
export async function refreshed(server: TestServer, pair: Pair): Promise<Pair> {
  const { status, json } = await refresh(server, pair);
  assert.equal(status, 200);
  return json;
}

/** `status code`, or the status alone. */
export const outcome = ({ status, json }: Answer): string =>
  status < 400 ? String(status) : `${status} ${json.code}`;

/** What a token says. */
export const claimsOf = (token: string): Record<string, any> =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());

/** The id of the account behind a token. */
export const idOf = (pair: Pair): string => claimsOf(pair.access_token)['sub'];

/** Both tokens of the pair are refused as those of a session that has ended. */
export async function assertEnded(server: TestServer, pair: Pair): Promise<void> {
  assert.equal(outcome(await me(server, pair)), '401 invalid_token');
  assert.equal(outcome(await refresh(server, pair)), '401 invalid_token');
}
