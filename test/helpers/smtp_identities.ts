import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Identities {
  /** The authority's certificate, and the file it is in. */
  ca: string;
  caFile: string;
  /** Signed by the authority, for localhost and 127.0.0.1; and for another host. */
  good: { cert: string; key: string };
  misnamed: { cert: string; key: string };
  folder: string;
  remove(): void;
}

export const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'needs openssl on the PATH';

/** A throw-away authority and what it signed, in a temporary folder. */
export function createIdentities(): Identities {
  const folder = mkdtempSync(join(tmpdir(), 'smtp-identities-'));
  const run = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  run('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority');
  const sign = (name: string, names: string): { cert: string; key: string } => {
    run('req', '-x509', ...key, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', `${name}.key`, '-out', `${name}.pem`,
      '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=critical,CA:FALSE');
    return {
      cert: readFileSync(join(folder, `${name}.pem`), 'utf8'),
      key: readFileSync(join(folder, `${name}.key`), 'utf8'),
    };
  };
  return {
    ca: readFileSync(join(folder, 'ca.pem'), 'utf8'),
    caFile: join(folder, 'ca.pem'),
    good: sign('good', 'DNS:localhost,IP:127.0.0.1'),
    misnamed: sign('misnamed', 'DNS:mail.example.org'),
    folder,
    remove: () => rmSync(folder, { recursive: true }),
  };
}
