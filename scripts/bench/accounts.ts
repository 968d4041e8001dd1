import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the loads need of the server: made before anything is measured, while hashing is cheap. */
export interface Accounts {
  /** Of a user who never logs in again, so that the session stays. */
  accessToken: string;
  /** The body of a login of another user. */
  credentials: string;
  /** A file of refresh tokens that nobody has used; throws when there is none left. */
  nextTokens(): string;
}

const loginsAtOnce = 8;
/** A user has at most 100 live sessions. */
const sessionsEach = 50;

export async function createAccounts(
  { port, folder, tokens, files }: { port: number; folder: string; tokens: number; files: number },
): Promise<Accounts> {
  const post = async (path: string, body: object): Promise<Record<string, string>> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/auth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  };
  const register = async (): Promise<{ email: string; password: string }> => {
    const account = { email: `${randomUUID()}@example.com`, password: 'correct-horse-battery-9' };
    await post('register', { ...account, full_name: 'Bench User' });
    return account;
  };

  const reader = await register();
  const { access_token: accessToken = '' } = await post('login', reader);
  const tokensFiles: string[] = [];
  for (let i = 0; i < files; i += 1) {
    const owners = await Promise.all(Array.from({ length: Math.ceil(tokens / sessionsEach) }, register));
    const logins = Array.from({ length: tokens }, (_, n) => owners[n % owners.length] ?? {});
    const found: string[] = [];
    const logIn = async (): Promise<void> => {
      for (let owner = logins.pop(); owner !== undefined; owner = logins.pop()) {
        found.push((await post('login', owner)).refresh_token ?? '');
      }
    };
    await Promise.all(Array.from({ length: loginsAtOnce }, logIn));
    const file = join(folder, `tokens-${i}`);
    writeFileSync(file, `${found.join('\n')}\n`);
    tokensFiles.push(file);
  }
  return {
    accessToken,
    credentials: JSON.stringify(await register()),
    nextTokens() {
      const file = tokensFiles.pop();
      if (file === undefined) throw new Error('more runs than files of refresh tokens');
      return file;
    },
  };
}
