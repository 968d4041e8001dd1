// main.ts is a link to this file. It is plain JavaScript for two reasons: a Node that is too old to read TypeScript can
// still say so; and taking the types out of a file, before the cache of compiled code is open, would cost every start
// a third of its CPU time, and 16 MB.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  const here = `runs on ${process.versions.node} here`;
  process.stderr.write(`This needs Node 24.15 or newer and ${here}; use: npx -y node@24 src/main.ts\n`);
  process.exit(1);
}
// Compiled code is kept between starts, in a folder that nobody else can write.
const cache = fileURLToPath(new URL('../.cache', import.meta.url));
if (existsSync(cache)) module.enableCompileCache(cache);
const { start } = await import('./start.ts');
await start({ entry: new URL(import.meta.url), cache });
