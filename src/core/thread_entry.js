// The first file of every thread, in plain JavaScript: a thread starts without the compile cache, and taking the types
// out of a TypeScript file without it costs a thread 40 ms and 18 MB. It turns the cache on and goes to the real entry.
import { enableCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';

if (workerData.compileCache !== undefined) enableCompileCache(workerData.compileCache);
await import(workerData.entry);
