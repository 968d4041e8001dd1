import { toWords } from '../core/rate_limit.ts';
import type { Policy } from '../core/rate_limit.ts';
import type { Docs } from '../http/docs.ts';
import type { Route } from '../http/route.ts';
import type { App } from './deps.ts';

/** Loaded and written when somebody first asks for them. */
export function lazyDocuments(
  routes: readonly Route<App>[],
  version: string,
  policies: readonly Policy[],
): App['documents'] {
  const limits = Object.fromEntries(policies.map((each) => [each.name, toWords(each, 'request')]));
  let openapi: string | undefined;
  let docs: Docs | undefined;
  return {
    async openapi() {
      const { about } = await import('./about.ts');
      const { toOpenApi } = await import('../http/openapi.ts');
      return (openapi ??= JSON.stringify(toOpenApi(routes, { ...about, version, limits })));
    },
    async docs() {
      const { about } = await import('./about.ts');
      const { createDocs } = await import('../http/docs.ts');
      return (docs ??= createDocs({ ...about, version }));
    },
  };
}
