import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { check } from '../../src/http/schema.ts';
import { inlined } from '../helpers/contract.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

type Json = Record<string, any>;

/** Generated clients name their functions after these: one may be added, none changed or taken away. */
const OPERATIONS = {
  register: 'post /api/v1/auth/register',
  login: 'post /api/v1/auth/login',
  refresh: 'post /api/v1/auth/refresh',
  logout: 'post /api/v1/auth/logout',
  logoutAll: 'post /api/v1/auth/logout-all',
  changePassword: 'post /api/v1/auth/password',
  forgotPassword: 'post /api/v1/auth/password/forgot',
  resetPassword: 'post /api/v1/auth/password/reset',
  requestEmailVerification: 'post /api/v1/auth/email/verification',
  verifyEmail: 'post /api/v1/auth/email/verify',
  getMe: 'get /api/v1/users/me',
  updateMe: 'patch /api/v1/users/me',
  listSessions: 'get /api/v1/users/me/sessions',
  endSession: 'delete /api/v1/users/me/sessions/{id}',
  listUsers: 'get /api/v1/users',
  getUser: 'get /api/v1/users/{id}',
  updateUser: 'patch /api/v1/users/{id}',
  deleteUser: 'delete /api/v1/users/{id}',
  getSecret: 'get /api/v1/admin/secret',
  listJobs: 'get /api/v1/admin/jobs',
  retryJob: 'post /api/v1/admin/jobs/{id}/retry',
  createExport: 'post /api/v1/admin/exports',
  getExport: 'get /api/v1/admin/exports/{id}',
  getExportFile: 'get /api/v1/admin/exports/{id}/file',
  ping: 'get /api/v1/public/ping',
  getHealth: 'get /healthz',
  getReadiness: 'get /readyz',
  getMetrics: 'get /metrics',
  getRoot: 'get /',
  getDocs: 'get /docs',
  getOpenApi: 'get /openapi.json',
};

suite('The OpenAPI document', () => {
  let server: TestServer;
  let document: Json;
  let operations: [where: string, operation: Json][];

  before(async () => {
    server = await startServer();
    document = (await server.call('GET', '/openapi.json')).json;
    operations = Object.entries<Json>(document['paths']).flatMap(([path, item]) =>
      Object.entries<Json>(item).map(([method, operation]): [string, Json] => [`${method} ${path}`, operation]),
    );
  });
  after(() => server.close());

  test('keeps the ids of its operations, and gives none twice', () => {
    const ids = operations.map(([where, { operationId }]) => [operationId, where]);
    const byId = Object.fromEntries(ids);
    assert.equal(Object.keys(byId).length, ids.length);
    assert.deepEqual({ ...byId, ...OPERATIONS }, byId);
  });

  test('says what the API and each of its tags are about', () => {
    assert.match(document['info'].description, /Authorization: Bearer/);
    const described = document['tags'].filter(({ description }: Json) => description).map(({ name }: Json) => name);
    const used = new Set(operations.flatMap(([, { tags }]) => tags));
    assert.deepEqual(described.toSorted(), [...used].toSorted());
  });

  test('names by reference only what it holds', () => {
    const references = JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g);
    const broken = [...references].filter(([, path]) => {
      return path!.split('/').reduce<any>((at, key) => at?.[key], document) === undefined;
    });
    assert.deepEqual(broken, []);
  });

  test('gives examples that fit their schemas', () => {
    let seen = 0;
    const fits = (schema: Json, example: unknown, where: string): void => {
      seen++;
      assert.deepEqual(check(inlined(document, schema), example), [], where);
    };
    const walk = (node: unknown, where: string): void => {
      if (typeof node !== 'object' || node === null) return;
      const { type, examples, default: fallback } = node as Json;
      if (type !== undefined && Array.isArray(examples)) for (const each of examples) fits(node, each, where);
      if (type !== undefined && fallback !== undefined) fits(node, fallback, where);
      for (const [key, child] of Object.entries(node)) walk(child, `${where}/${key}`);
    };
    walk(document['components'].schemas, 'schemas');
    walk(document['paths'], 'paths');
    for (const [where, { responses }] of operations) {
      for (const [status, { content = {} }] of Object.entries<Json>(responses)) {
        const { schema, examples = {} }: Json = Object.values(content)[0] ?? {};
        for (const { $ref } of Object.values<Json>(examples)) {
          const { value } = document['components'].examples[$ref.split('/').at(-1)];
          fits(schema, value, `${where} ${status}`);
          assert.equal(value.status, Number(status), where);
        }
      }
    }
    assert.ok(seen > 100, `${seen} examples`);
  });

  test('asks for a token where the server does', async () => {
    for (const [where, { security, operationId }] of operations) {
      const [method = '', path = ''] = where.split(' ');
      if (method !== 'get') continue;
      const { status } = await server.call('GET', path.replace('{id}', '0190a5d2-7c4b-7def-8a3b-3c1d9e5f7a21'));
      assert.equal(status === 401, security.length > 0, operationId);
    }
  });
});
