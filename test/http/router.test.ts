import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Failure } from '../../src/core/errors.ts';
import type { Method, Route } from '../../src/http/route.ts';
import { createRouter } from '../../src/http/router.ts';

const route = (method: Method, path: string): Route<undefined> => ({
  ...{ method, path, operationId: `${method} ${path}`, tag: '', summary: '', limits: [], replies: {} },
  guard: { name: 'anyone', admit: () => undefined },
  handler: () => ({ status: 204 }),
});

const router = createRouter([
  ...[route('GET', '/'), route('GET', '/users'), route('POST', '/users'), route('GET', '/users/me')],
  ...[route('PATCH', '/users/me'), route('GET', '/users/{id}'), route('DELETE', '/users/{id}')],
  route('DELETE', '/users/{id}/sessions/{sid}'),
]);

function match(method: string, path: string) {
  try {
    const { route, params } = router.match(method, path);
    return [route.operationId, { ...params }];
  } catch (error) {
    assert.ok(error instanceof Failure);
    return [error.code, error.details.allow];
  }
}

test('a path finds its route, a fixed one before a template, and the parameters as they stand', () => {
  const table: [method: string, path: string, operation: string, params: Record<string, string>][] = [
    ['GET', '/', 'GET /', {}],
    ['HEAD', '/', 'GET /', {}],
    ['GET', '/users', 'GET /users', {}],
    ['POST', '/users', 'POST /users', {}],
    ['GET', '/users/me', 'GET /users/me', {}],
    ['GET', '/users/you', 'GET /users/{id}', { id: 'you' }],
    ['HEAD', '/users/you', 'GET /users/{id}', { id: 'you' }],
    ['GET', '/users/{id}', 'GET /users/{id}', { id: '{id}' }],
    ['GET', '/users/%6De', 'GET /users/{id}', { id: '%6De' }],
    ['GET', '/users/__proto__', 'GET /users/{id}', { id: '__proto__' }],
    ['DELETE', '/users/a/sessions/b', 'DELETE /users/{id}/sessions/{sid}', { id: 'a', sid: 'b' }],
  ];
  for (const [method, path, operation, params] of table) {
    assert.deepEqual(match(method, path), [operation, params], path);
  }
});

test('what is not there is not found: no path is tidied up, decoded or guessed at', () => {
  const paths = [
    ...['', '*', 'users', '//', '/users/', '//users', '/Users', '/users/me/', '/users//sessions/b', '/users/./me'],
    ...['/users/a/sessions', '/users/a/sessions/', '/users/a/sessions/b/c', '/users;a', '/users?'],
    ...['/us%65rs', '/users/a/x/sessions/b', '/users/../users'],
    ...[`/users${'/a'.repeat(1000)}`, '/constructor', '/__proto__'],
  ];
  for (const path of paths) {
    assert.deepEqual(match('GET', path), ['not_found', undefined], path);
    assert.equal(router.allowed(path), undefined, path);
  }
});

test('another method is refused with those that are allowed', () => {
  const table: [method: string, path: string, allow: string][] = [
    ['POST', '/', 'GET, HEAD, OPTIONS'],
    ['PUT', '/users', 'GET, HEAD, POST, OPTIONS'],
    ['DELETE', '/users/me', 'GET, HEAD, PATCH, OPTIONS'],
    ['TRACE', '/users/a', 'GET, HEAD, DELETE, OPTIONS'],
    ['GET', '/users/a/sessions/b', 'DELETE, OPTIONS'],
    ['HEAD', '/users/a/sessions/b', 'DELETE, OPTIONS'],
    ['get', '/users', 'GET, HEAD, POST, OPTIONS'],
    ['constructor', '/users', 'GET, HEAD, POST, OPTIONS'],
  ];
  for (const [method, path, allow] of table) {
    assert.deepEqual(match(method, path), ['method_not_allowed', allow], `${method} ${path}`);
    assert.equal(router.allowed(path), allow);
  }
});

test('a route that is declared twice is a mistake', () => {
  assert.throws(() => createRouter([route('GET', '/a'), route('GET', '/a')]), /declared twice/);
});
