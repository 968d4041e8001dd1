// How many password hashes a second this core gives with nothing around them; prints one number.
//
//   node scripts/bench/hash_floor.ts SECONDS LOG2_N R P

import { scrypt } from 'node:crypto';

const [seconds = 4, log2N = 15, r = 8, p = 3] = process.argv.slice(2).map(Number);
const N = 2 ** log2N;
const began = performance.now();
let done = 0;

function hash(): void {
  scrypt('correct horse battery', 'sixteen-byte-slt', 32, { N, r, p, maxmem: 256 * N * r }, (error) => {
    if (error !== null) throw error;
    done += 1;
    const elapsed = performance.now() - began;
    if (elapsed < seconds * 1000) {
      hash();
      return;
    }
    console.log(done / (elapsed / 1000));
    process.exit(0);
  });
}

for (let i = 0; i < 8; i += 1) hash();
