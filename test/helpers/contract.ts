import assert from 'node:assert/strict';

import { check } from '../../src/http/schema.ts';
import type { Answer } from './server.ts';

type Json = Record<string, any>;

export interface Contract {
  /** Fails unless the OpenAPI document declares this answer to this request. */
  check(method: string, target: string, answer: Answer): void;
}

/** A schema of the document with what its references name in their place. */
export function inlined(document: Json, schema: Json): Json {
  if (typeof schema['$ref'] === 'string') {
    return inlined(document, document['components'].schemas[schema['$ref'].split('/').at(-1)!]);
  }
  const copy: Json = { ...schema };
  if (schema['items']) copy['items'] = inlined(document, schema['items']);
  if (schema['properties']) {
    const entries = Object.entries<Json>(schema['properties']).map(([name, value]) => [name, inlined(document, value)]);
    copy['properties'] = Object.fromEntries(entries);
  }
  return copy;
}

export function createContract(openapi: string): Contract {
  const document: Json = JSON.parse(openapi);
  const templates = Object.keys(document['paths']);

  function find(method: string, target: string): Json | undefined {
    const path = target.split('?')[0]!;
    const matches = templates.filter((template) =>
      new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
    );
    const template = matches.find((each) => each === path) ?? matches[0];
    const operations = template === undefined ? undefined : document['paths'][template];
    return operations?.[(method === 'HEAD' ? 'GET' : method).toLowerCase()];
  }

  return {
    check(method, target, { status, headers, text, json }) {
      const where = `${method} ${target} answered ${status}`;
      assert.ok(headers['x-request-id'], `${where} without X-Request-Id`);
      assert.equal(headers['x-content-type-options'], 'nosniff', where);
      const operation = find(method, target);
      if (operation === undefined) return;
      const declared = operation['responses'][status];
      assert.ok(declared, `${where}, which is not declared: ${text}`);
      if (method === 'HEAD') return void assert.equal(text, '');
      if (declared['content'] === undefined) return void assert.equal(text, '', `${where} with a body`);
      const mediaType = headers['content-type']!;
      const content = declared['content'][mediaType];
      assert.ok(content, `${where} as ${mediaType}, which is not declared`);
      if (content.schema.type === undefined && content.schema.$ref === undefined) return;
      const faults = check(inlined(document, content.schema), json);
      assert.deepEqual(faults, [], `${where}: ${text}`);
      if (status >= 400) assert.ok(declared['x-codes'].includes(json.code), `${where} with code ${json.code}`);
    },
  };
}
