import { scryptSync } from 'node:crypto';
import os from 'node:os';
import { parentPort } from 'node:worker_threads';

/** One key derivation; `log2N`, `r` and `p` as in `ScryptCost` of passwords.ts. */
export interface HashJob {
  password: string;
  salt: Uint8Array;
  log2N: number;
  r: number;
  p: number;
  /** Of the derived key, in bytes. */
  length: number;
}

// Requests go first: on Linux this lowers the priority of this thread alone (setpriority(2), "C library/kernel
// differences"). Elsewhere the whole process would be meant, so it is left as it is.
if (os.platform() === 'linux') os.setPriority(0, os.constants.priority.PRIORITY_BELOW_NORMAL);

parentPort!.on('message', ({ password, salt, log2N, r, p, length }: HashJob) => {
  const N = 2 ** log2N;
  parentPort!.postMessage(scryptSync(password, salt, length, { N, r, p, maxmem: 256 * N * r + (1 << 20) }));
});
