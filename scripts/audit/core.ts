import { dirname, join } from 'node:path';

import type { Source } from './facts.ts';

/** Rooms beside the way of a request: clients of other servers, instruments, and the work in the background. */
export const besideTheCore = ['wire', 'telemetry', 'jobs'];

/** These go on, on the way of every start, to what they `import()`; elsewhere that is a choice: of a setting, say. */
const onTheWay = /^(main\.js|start\.ts)$/;

/**
 * The files that a server with default settings loads, by what they import, the entries of its threads included,
 * without those that lie beside the core. A test holds it against a real server.
 */
export function coreFiles(sources: readonly Source[]): string[] {
  const byFile = new Map(sources.map((source) => [source.file, source]));
  const found = new Set<string>();
  const visit = (file: string): void => {
    const source = byFile.get(file);
    if (source === undefined || found.has(file)) return;
    found.add(file);
    for (const { specifier, kind, isCall } of source.imports) {
      if (kind === 'type' || !specifier?.startsWith('.') || (isCall && !onTheWay.test(file))) continue;
      visit(join(dirname(file), specifier));
    }
  };
  visit('main.js');
  return [...found].filter((file) => !besideTheCore.some((room) => file.startsWith(`${room}/`))).sort();
}
