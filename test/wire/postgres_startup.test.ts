import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openConnection } from '../../src/wire/postgres.ts';
import type { NoConnection } from '../../src/wire/postgres_errors.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { createCluster, execute, ownFile, withoutBinaries } from '../helpers/postgres_cluster.ts';
import type { Cluster } from '../helpers/postgres_cluster.ts';

const password = 'p@ss/w:rd% Ⅸé';

const roles = `
  CREATE ROLE scram LOGIN PASSWORD '${password}';
  CREATE ROLE clear LOGIN PASSWORD '${password}';
  CREATE ROLE trusted LOGIN;
  SET password_encryption = 'md5'; CREATE ROLE md5 LOGIN PASSWORD '${password}';`;

const hba = `
  host    all scram   127.0.0.1/32 scram-sha-256
  host    all clear   127.0.0.1/32 password
  host    all md5     127.0.0.1/32 md5
  hostssl all trusted 127.0.0.1/32 trust`;

/** An authority of our own and a certificate for `localhost` by it. */
async function createCertificates(folder: string): Promise<void> {
  const openssl = (...args: string[]) => execute('openssl', args, { cwd: folder });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...curve, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=Test authority');
  await openssl('req', ...curve, '-keyout', 'key', '-out', 'csr', '-subj', '/CN=localhost');
  writeFileSync(join(folder, 'extensions'), 'subjectAltName=DNS:localhost');
  const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'extensions'];
  await openssl('x509', '-req', '-in', 'csr', ...signing, '-out', 'crt');
}

describe('a server of our own lets in', { skip: withoutBinaries }, () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await createCluster({ hba });
    await createCertificates(cluster.folder);
    const copies = (['key', 'crt'] as const).map((name) => {
      const copy = join(cluster.folder, `server.${name}`);
      ownFile(copy, readFileSync(join(cluster.folder, name), 'utf8'));
      return `ssl_${name === 'crt' ? 'cert' : 'key'}_file = '${copy}'`;
    });
    await enter(cluster.url, roles);
    ownFile(join(cluster.folder, 'data', 'postgresql.auto.conf'), ['ssl = on', ...copies].join('\n'));
    await cluster.stop('SIGINT');
    await cluster.start();
  });
  after(() => cluster.close());

  const url = (user: string, word: string | undefined, { host = '127.0.0.1', sslmode = 'disable' } = {}): string => {
    const secret = word === undefined ? '' : `:${encodeURIComponent(word)}`;
    return `postgres://${user}${secret}@${host}:${cluster.port}/postgres?sslmode=${sslmode}`;
  };

  async function enter(address: string, script = ''): Promise<string> {
    const connection = await openConnection(toPostgresAddress(address), { greeting: '', timeoutMs: 60_000 });
    try {
      await connection.script(script, 60_000);
      const sql = 'SELECT session_user, (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid())';
      const [result] = await connection.run([{ sql, params: [] }], 60_000);
      return (result?.rows[0] ?? []).join(' ').trim();
    } finally {
      connection.close();
    }
  }

  const refused = (address: string, reason: RegExp) =>
    assert.rejects(enter(address), (error: NoConnection) => {
      const { message } = error.cause as Error;
      assert.match(message, reason);
      assert.ok(!message.includes(password));
      return true;
    });

  test('by SCRAM-SHA-256 who knows the password', async () => {
    assert.equal(await enter(url('scram', password)), 'scram');
    await refused(url('scram', 'wrong'), /password authentication failed.*28P01/);
    await refused(url('scram', ''), /asks for a password/);
    await refused(url('nobody', password), /no pg_hba.conf entry/);
  });

  test('with a cleartext password only when encrypted, and with MD5 never', async () => {
    await refused(url('clear', password), /cleartext password without TLS/);
    assert.equal(await enter(url('clear', password, { sslmode: 'require' })), 'clear TLSv1.3');
    await refused(url('clear', 'wrong', { sslmode: 'require' }), /28P01/);
    await refused(url('md5', password), /scram-sha-256/);
    await refused(url('md5', password, { sslmode: 'require' }), /scram-sha-256/);
  });

  test('encrypted with sslmode=require, whoever signed its certificate', async () => {
    assert.equal(await enter(url('scram', password, { sslmode: 'require' })), 'scram TLSv1.3');
    assert.equal(await enter(url('trusted', undefined, { sslmode: 'require' })), 'trusted TLSv1.3');
    await refused(url('trusted', undefined), /no pg_hba.conf entry.*no encryption/);
  });

  test('with sslmode=verify-full only under its right name and a known authority', async () => {
    const localhost = url('scram', password, { host: 'localhost', sslmode: 'verify-full' });
    await refused(localhost, /unable to verify|self-signed|issuer/);
    const program = `
      import { openConnection } from '${new URL('../../src/wire/postgres.ts', import.meta.url)}';
      import { toPostgresAddress } from '${new URL('../../src/wire/postgres_url.ts', import.meta.url)}';
      for (const url of process.argv.slice(1)) {
        await openConnection(toPostgresAddress(url), { greeting: '', timeoutMs: 60_000 }).then(
          (connection) => { console.log('in'); connection.close(); },
          (error) => console.log(error.cause.name, error.cause.cause.code),
        );
      }`;
    const byAddress = url('scram', password, { sslmode: 'verify-full' });
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', program, localhost, byAddress], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: join(cluster.folder, 'ca.crt') },
    });
    assert.deepEqual(stdout.trim().split('\n'), ['in', 'Disagreement ERR_TLS_CERT_ALTNAME_INVALID']);
  });
});
