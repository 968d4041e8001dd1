import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Node takes the types out of this file at every start, before any cache can be asked: what is not needed for that is
// in start.ts.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  const { node } = process.versions;
  process.stderr.write(`Node 24.15 or newer is needed and this is ${node}: npx -y node@24 src/main.ts\n`);
  process.exit(1);
}
// Compiled code is kept between starts, in a folder that nobody else can write.
const cache = fileURLToPath(new URL('../.cache', import.meta.url));
if (existsSync(cache)) enableCompileCache(cache);
const { start } = await import('./start.ts');
await start({ entry: new URL(import.meta.url), cache });
