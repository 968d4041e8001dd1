// A thread that never beats, and says that it serves when it is told a log level.
import { parentPort } from 'node:worker_threads';

import { openCalls } from '../../src/threads/calls.ts';
import type { Calls } from '../../src/threads/calls.ts';
import type { MainVerbs } from '../../src/threads/verbs.ts';

const main: Calls<MainVerbs> = openCalls(parentPort!, {
  logLevel: () => main.tell('listening', 1),
  snapshot: () => [],
});
