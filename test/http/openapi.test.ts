import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { codes, statusOf } from '../../src/core/errors.ts';
import { check } from '../../src/http/schema.ts';
import { toOpenApi } from '../../src/http/openapi.ts';
import { startServer } from '../helpers/server.ts';
import type { TestServer } from '../helpers/server.ts';

type Json = Record<string, any>;

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

suite('openapi', () => {
  let server: TestServer;
  let document: Json;
  let operations: [where: string, operation: Json, path: string][];
  before(async () => {
    server = await startServer();
    const { status, headers, json } = await server.call('GET', '/openapi.json');
    assert.deepEqual([status, headers['content-type']], [200, 'application/json']);
    document = json;
    operations = Object.entries<Json>(document['paths']).flatMap(([path, item]) =>
      Object.entries<Json>(item).map(([method, operation]): [string, Json, string] => [
        ...([`${method} ${path}`, operation, path] as const),
      ]),
    );
  });
  after(() => server.close());

  const resolved = (ref: string): Json => {
    const [, room = '', name = ''] = /^#\/components\/(schemas|examples)\/([A-Za-z0-9._-]+)$/.exec(ref) ?? [];
    return document['components'][room]?.[name] ?? assert.fail(`nothing at ${ref}`);
  };

  /** A schema with its references replaced by what they name. */
  const inlined = (schema: Json): Json => {
    if (typeof schema['$ref'] === 'string') return inlined(resolved(schema['$ref']));
    const copy: Json = { ...schema };
    if (schema['items']) copy['items'] = inlined(schema['items']);
    if (schema['properties']) {
      const properties = Object.entries<Json>(schema['properties']);
      copy['properties'] = Object.fromEntries(properties.map(([name, value]) => [name, inlined(value)]));
    }
    return copy;
  };

  /** Every object of the document, with where it stands. */
  function* objects(value: unknown, where = '#'): Generator<[where: string, value: Json]> {
    if (typeof value !== 'object' || value === null) return;
    yield [where, value as Json];
    for (const [name, item] of Object.entries(value)) yield* objects(item, `${where}/${name}`);
  }

  test('it is an OpenAPI 3.1 document whose parts have the keys that 3.1 gives them', () => {
    assert.match(document['openapi'], /^3\.1\.\d+$/);
    assert.deepEqual(Object.keys(document).sort(), ['components', 'info', 'openapi', 'paths', 'servers', 'tags']);
    for (const field of ['title', 'version', 'description']) assert.equal(typeof document['info'][field], 'string');
    const known = [
      ...['operationId', 'tags', 'summary', 'description', 'security', 'parameters', 'requestBody', 'responses'],
    ];
    for (const [path, item] of Object.entries<Json>(document['paths'])) {
      assert.match(path, /^\/(?:[a-z0-9._{}-]+\/)*[a-z0-9._{}-]*$/i);
      for (const method of Object.keys(item)) assert.ok(METHODS.includes(method), `${method} ${path}`);
    }
    for (const [where, operation] of operations) {
      for (const key of Object.keys(operation)) {
        assert.ok(known.includes(key) || key.startsWith('x-'), `${where}: ${key}`);
      }
      assert.ok(operation['summary'].length > 0, where);
    }
  });

  test('every reference leads somewhere, and every component is used', () => {
    const used = new Set<string>();
    for (const [where, { $ref: ref }] of objects(document)) {
      if (ref === undefined) continue;
      resolved(ref);
      used.add(ref);
      assert.equal(/examples\/\w+$/.test(where), ref.startsWith('#/components/examples/'), where);
    }
    const held = ['schemas', 'examples'].flatMap((room) =>
      Object.keys(document['components'][room]).map((name) => `#/components/${room}/${name}`),
    );
    assert.deepEqual(held.sort(), [...used].sort());
  });

  test('operations have names of their own, tags that are listed, and a guard that is declared', () => {
    const ids = operations.map(([, { operationId }]) => operationId);
    assert.equal(new Set(ids).size, ids.length);
    const tags = document['tags'].map(({ name }: Json) => name);
    assert.equal(new Set(tags).size, tags.length);
    for (const [where, { operationId, tags: own, security }] of operations) {
      assert.match(operationId, /^[a-z][A-Za-z]+$/, where);
      assert.ok(own.length === 1 && tags.includes(own[0]), where);
      for (const requirement of security) {
        for (const scheme of Object.keys(requirement)) assert.ok(document['components'].securitySchemes[scheme], where);
      }
    }
  });

  test('every parameter of a path is declared, and none besides', () => {
    for (const [where, { parameters = [] }, path] of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = parameters.filter((parameter: Json) => parameter['in'] === 'path');
      assert.deepEqual(declared.map(({ name }: Json) => name), named, where);
      for (const parameter of declared) assert.equal(parameter.required, true, where);
      const keys = parameters.map((parameter: Json) => `${parameter['in']} ${parameter['name']}`);
      assert.equal(new Set(keys).size, keys.length, where);
      for (const parameter of parameters) assert.ok(['path', 'query', 'header'].includes(parameter.in), where);
    }
  });

  test('schemas say only what JSON Schema knows, and their examples and defaults fit them', () => {
    const keywords = [
      ...['type', 'title', 'description', 'properties', 'required', 'additionalProperties', 'items', 'enum'],
      'examples',
      ...['minimum', 'maximum', 'minLength', 'maxLength', 'maxItems', 'pattern', 'format', 'default', '$ref'],
    ];
    let examples = 0;
    function visit(schema: Json, where: string): void {
      for (const keyword of Object.keys(schema)) {
        assert.ok(keywords.includes(keyword) || keyword.startsWith('x-'), `${where}: ${keyword}`);
      }
      if (schema['$ref'] !== undefined) return;
      if (schema['pattern'] !== undefined) new RegExp(schema['pattern'], 'u');
      if (schema['examples'] !== undefined) assert.ok(Array.isArray(schema['examples']), where);
      const values = [...(schema['examples'] ?? []), ...('default' in schema ? [schema['default']] : [])];
      for (const value of values) assert.deepEqual(check(inlined(schema), value), [], `${where}: ${value}`);
      examples += values.length;
      for (const name of schema['required'] ?? []) assert.ok(name in schema['properties'], `${where}: ${name}`);
      for (const [name, item] of Object.entries<Json>(schema['properties'] ?? {})) visit(item, `${where}/${name}`);
      if (schema['items'] !== undefined) visit(schema['items'], `${where}/items`);
    }
    for (const [name, schema] of Object.entries<Json>(document['components'].schemas)) visit(schema, name);
    for (const [where, value] of objects(document['paths'])) {
      if (where.endsWith('/schema')) visit(value, where);
      if (!/\/examples\/\w+$/.test(where)) continue;
      const media = [...objects(document['paths'])].find(([at]) => at === where.replace(/\/examples\/\w+$/, ''))!;
      assert.deepEqual(check(inlined(media[1]['schema']), resolved(value['$ref'])['value']), [], where);
      examples++;
    }
    assert.ok(examples > 50, `only ${examples} examples`);
  });

  test('every status is described, each refusal is a Problem with its codes, and each code is of its status', () => {
    const seen = new Set<string>();
    for (const [where, { responses, security, requestBody }] of operations) {
      const statuses = Object.keys(responses);
      assert.ok(statuses.some((status) => /^[23]\d\d$/.test(status)), where);
      for (const always of ['400', '405', '408', '414', '431', '500']) {
        assert.ok(statuses.includes(always), `${where} ${always}`);
      }
      if (security.length > 0) assert.ok(statuses.includes('401'), where);
      if (requestBody !== undefined) {
        for (const status of ['413', '415', '422']) assert.ok(statuses.includes(status), `${where} ${status}`);
        assert.deepEqual(Object.keys(requestBody.content), ['application/json'], where);
      }
      for (const [status, response] of Object.entries<Json>(responses)) {
        assert.ok(response['description'].length > 0, `${where} ${status}`);
        if (Number(status) < 400) continue;
        assert.deepEqual(Object.keys(response['content']), ['application/problem+json'], `${where} ${status}`);
        const { schema } = response['content']['application/problem+json'];
        assert.deepEqual(schema, { $ref: '#/components/schemas/Problem' });
        for (const code of response['x-codes']) {
          assert.equal(statusOf(code), Number(status), `${where} ${code}`);
          seen.add(code);
        }
      }
    }
    const elsewhere = ['not_found', 'method_not_allowed', 'export_unfinished'];
    assert.deepEqual(codes.filter((code) => !seen.has(code) && !elsewhere.includes(code)), []);
  });

  test('what is limited says so, and what needs a token can be refused for it', () => {
    for (const [where, operation, path] of operations) {
      const limited = operation['x-rate-limits'] !== undefined;
      assert.equal(limited, path.startsWith('/api/'), where);
      if (limited) assert.match(operation['x-rate-limits'][0], /^default: \d+ requests in 60 s$/, where);
      assert.equal(operation['responses']['429'] !== undefined, limited, where);
      if (operation['x-role'] === 'admin') assert.ok(operation['responses']['403'], where);
    }
  });

  test('without routes it is still a document', () => {
    const info = { title: 'none', version: '0', description: '', license: { name: 'MIT', identifier: 'MIT' }, tags: {}, limits: {} };
    assert.deepEqual(toOpenApi([], info)['paths'], {});
  });
});
