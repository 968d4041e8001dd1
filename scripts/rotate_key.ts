import { existsSync, renameSync, rmSync } from 'node:fs';

import { keyFileOf, keysFromFile, newKey, writeKeyFile } from '../src/db/key_file.ts';
import { databaseFile, runCommand, say, Usage } from './shared.ts';

const help = `Usage: node scripts/rotate_key.ts [--forget | --out FILE]

Makes a new key for tokens. It counts from the next start of the server; tokens
signed with the older keys stay good. The key is never shown.

Without JWT_SECRET the keys are in a file beside the database: the new one is
put before those that are there. With JWT_SECRET the new one is written to FILE,
and what to set is printed.

  --forget          drop all keys but the newest: tokens of the older ones are
                    refused from the next start on
  --out FILE        where the new key goes when JWT_SECRET is set; it must not
                    exist
  --env-file FILE   settings, as for the server (.env)
`;

/** The signing key and those before it that are kept. */
const MOST_KEYS = 4;

/** Replaces the file by one with these keys, at once. */
function replaceKeys(file: string, keys: readonly string[]): void {
  const part = `${file}.part`;
  rmSync(part, { force: true });
  writeKeyFile(part, keys);
  renameSync(part, file);
}

if (import.meta.main) {
  await runCommand({
    help,
    options: { forget: { type: 'boolean' }, out: { type: 'string' } },
    async run({ has, value, config, loaded: { texts } }) {
      const out = value('out');
      if (config.jwtSecret !== undefined) {
        if (out === undefined || has('forget')) throw new Usage('JWT_SECRET is set: give --out FILE; see --help');
        if (existsSync(out)) throw new Error(`${out} exists; name a new file.`);
        writeKeyFile(out, [newKey()]);
        say(`${out} holds the new key. Now, for every instance:`);
        say('  1. add the key that JWT_SECRET has now to JWT_SECRET_PREVIOUS, with a comma between several;');
        say(`  2. set JWT_SECRET_FILE=${out} instead of JWT_SECRET, and start again;`);
        return say(`  3. after ${texts.REFRESH_TOKEN_TTL}, when no token of the older key is left, remove it.`);
      }
      if (out !== undefined) throw new Usage('--out is for a JWT_SECRET that is set; see --help');
      const file = keyFileOf(databaseFile(config, 'set JWT_SECRET, and give --out FILE'));
      if (!existsSync(file)) throw new Error(`There is no ${file}: the server makes it when it starts.`);
      const keys = keysFromFile(file);
      if (has('forget')) {
        replaceKeys(file, keys.slice(0, 1));
        return say(`${file}: ${keys.length - 1} older keys dropped. Start the server again.`);
      }
      if (keys.length >= MOST_KEYS) throw new Error(`${file} holds ${keys.length} keys; drop the older ones: --forget`);
      replaceKeys(file, [newKey(), ...keys]);
      say(`${file}: new tokens are signed with a new key from the next start on.`);
      say(`Those of the older ones stay good. After ${texts.REFRESH_TOKEN_TTL} none is left: then --forget them.`);
    },
  });
}
