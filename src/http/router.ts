import { Failure } from '../core/errors.ts';
import type { Route } from './route.ts';

export interface Match<App> {
  route: Route<App>;
  params: Readonly<Record<string, string>>;
}

export interface Router<App> {
  /** The route and its (still encoded) parameters; throws `not_found` or `method_not_allowed`. */
  match(method: string, path: string): Match<App>;
  /** The methods a path answers to, as `Allow` lists them; undefined when there is no such path. */
  allowed(path: string): string | undefined;
}

interface Node<App> {
  /** Segments of the template; parameters as `{name}`. */
  segments: string[];
  hasParameters: boolean;
  byMethod: Map<string, Route<App>>;
  allow: string;
}

const NONE: Readonly<Record<string, string>> = {};

/**
 * Paths without parameters are found in one look; the others by comparing segments. Paths are compared as they
 * arrive: nothing is decoded, lower-cased or normalised first, so no two spellings reach the same route.
 */
export function createRouter<App>(routes: readonly Route<App>[]): Router<App> {
  const nodes = new Map<string, Node<App>>();
  for (const route of routes) {
    let node = nodes.get(route.path);
    if (node === undefined) {
      const segments = route.path.split('/');
      node = { segments, hasParameters: segments.some(isParameter), byMethod: new Map(), allow: '' };
      nodes.set(route.path, node);
    }
    if (node.byMethod.has(route.method)) throw new Error(`${route.method} ${route.path} is declared twice`);
    node.byMethod.set(route.method, route);
  }
  for (const node of nodes.values()) {
    const methods = [...node.byMethod.keys()].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
    node.allow = [...methods, 'OPTIONS'].join(', ');
  }
  const fixed = new Map([...nodes].filter(([, { hasParameters }]) => !hasParameters));
  const templates = [...nodes.values()].filter(({ hasParameters }) => hasParameters);

  function find(path: string): Node<App> | undefined {
    const node = fixed.get(path);
    if (node !== undefined) return node;
    const segments = path.split('/', 16);
    return templates.find((template) => fits(template.segments, segments));
  }

  return {
    match(method, path) {
      const node = find(path);
      if (node === undefined) throw new Failure('not_found', 'There is nothing at this path.');
      const route = node.byMethod.get(method === 'HEAD' ? 'GET' : method);
      if (route === undefined) throw new Failure('method_not_allowed', undefined, { allow: node.allow });
      return { route, params: node.hasParameters ? parameters(node.segments, path.split('/')) : NONE };
    },
    allowed: (path) => find(path)?.allow,
  };
}

const isParameter = (segment: string): boolean => segment.startsWith('{');

const fits = (template: readonly string[], segments: readonly string[]): boolean =>
  template.length === segments.length &&
  template.every((segment, i) => segment === segments[i] || (isParameter(segment) && segments[i] !== ''));

function parameters(template: readonly string[], segments: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  template.forEach((segment, i) => {
    if (isParameter(segment)) found[segment.slice(1, -1)] = segments[i]!;
  });
  return found;
}
