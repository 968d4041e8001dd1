import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/core/load_config.ts';
import { signingKeys } from '../../src/db/key_file.ts';
import type { Database } from '../../src/db/database.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { openBackends } from './backends.ts';
import { createClock } from './clock.ts';
import type { Clock } from './clock.ts';
import { createContract } from './contract.ts';

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  /** The body as JSON; undefined when it is not JSON. */
  json: any;
}

export interface CallOptions {
  body?: unknown;
  token?: string | undefined;
  headers?: http.OutgoingHttpHeaders;
  agent?: http.Agent;
}

export interface TestServer {
  url: string;
  port: number;
  clock: Clock;
  /** The folder of the key, of the database if that is a file, and of the mails in `mail`. */
  folder: string;
  db: Database;
  /** What has been logged, a parsed line each. */
  log(): Record<string, any>[];
  /**
   * Sends a request on a connection of its own. An answer that the OpenAPI document does not declare (status, body,
   * refusal code) fails the test.
   */
  call(method: string, target: string, options?: CallOptions): Promise<Answer>;
  /** Registers (unless taken) and logs in; the tokens. */
  login(email?: string, password?: string): Promise<{ access_token: string; refresh_token: string }>;
  /** A login of an administrator: the server is started with one. */
  loginAdmin(): Promise<{ access_token: string; refresh_token: string }>;
  close(): Promise<void>;
}

export const ADMIN = { email: 'admin@example.com', password: 'correct horse' };

/** Cheap hashes, and limits that no test meets by accident. */
const TEST_SETTINGS = {
  ENVIRONMENT: 'test',
  SCRYPT_LOG2_N: '4',
  SCRYPT_R: '1',
  SCRYPT_P: '1',
  SCRYPT_CONCURRENCY: '1',
  RATE_LIMIT_DEFAULT: '100000/60s',
  RATE_LIMIT_LOGIN: '100000/60s',
  RATE_LIMIT_LOGIN_FAILURES: '100000/15m',
  FIRST_ADMIN_EMAIL: ADMIN.email,
  FIRST_ADMIN_PASSWORD: ADMIN.password,
  SHUTDOWN_TIMEOUT: '2s',
};

/** Starts the real application on a free port, with a database of its own and a clock turned by hand. */
export async function startServer(
  settings: Record<string, string> = {},
  { clock = createClock(), folder }: { clock?: Clock; folder?: string } = {},
): Promise<TestServer> {
  const ownFolder = folder === undefined;
  const home = folder ?? mkdtempSync(path.join(os.tmpdir(), 'bare-api-'));
  const own = { DATABASE_URL: `sqlite:${path.join(home, 'app.db')}`, MAIL_URL: `file:${path.join(home, 'mail')}` };
  const env = { ...own, ...TEST_SETTINGS, ...settings };
  const loaded = loadConfig({ env, envFile: undefined, flags: {}, readFile: () => '' });
  if ('faults' in loaded) throw new Error(loaded.faults.join('\n'));
  const { config } = loaded;
  let written = '';
  const sink = { write: (lines: Uint8Array) => ((written += String(lines)), true), flushSync: () => {} };
  const log = createLog({ level: config.logLevel, format: 'json', color: false, now: clock.now, sink });
  const backends = await openBackends(config, clock, settings['DATABASE_URL'] === undefined ? home : undefined);
  const application = await createApp({
    config,
    version: '0.0.0',
    keys: signingKeys(config).keys,
    db: backends.db,
    sharedBuckets: backends.sharedBuckets,
    log,
    now: clock.now,
    monotonic: clock.monotonic,
    figures: process,
  });
  await application.prepare();
  const port = await application.server.listen({ host: '127.0.0.1', port: 0 });
  application.work();
  const contract = createContract(await application.app.documents.openapi());

  const server: TestServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    clock,
    folder: home,
    db: application.app.db,

    log() {
      log.flush();
      return written.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    },

    async call(method, target, options) {
      const answer = await send(port, method, target, options);
      contract.check(method, target, answer);
      return answer;
    },

    async login(email = 'ada@example.com', password = 'correct horse') {
      await server.call('POST', '/api/v1/auth/register', { body: { email, password } });
      const { status, json } = await server.call('POST', '/api/v1/auth/login', { body: { email, password } });
      assert.equal(status, 200);
      return json;
    },

    async loginAdmin() {
      const { status, json } = await server.call('POST', '/api/v1/auth/login', { body: ADMIN });
      assert.equal(status, 200);
      return json;
    },

    async close() {
      await application.stop();
      if (ownFolder) await backends.drop();
      log.close();
      if (ownFolder) rmSync(home, { recursive: true, force: true });
    },
  };
  return server;
}

/** One request, sent as it stands. A body that is no string or bytes is sent as JSON. */
export function send(port: number, method: string, target: string, options: CallOptions = {}): Promise<Answer> {
  const { body, token, headers = {}, agent } = options;
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
  const payload = body === undefined || isRaw ? body : JSON.stringify(body);
  const sent = {
    ...(payload === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) }),
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...headers,
  };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path: target, headers: sent, agent: agent ?? false });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode!, headers: response.headers, text, json: toJson(text) });
      });
    });
    request.end(payload);
  });
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
