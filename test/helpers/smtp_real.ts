import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { noOpenssl } from './smtp_identities.ts';
import type { Identities } from './smtp_identities.ts';

/** A Python that has aiosmtpd, or undefined. */
const python = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', 'import aiosmtpd']).status === 0);

export const noRealServer =
  noOpenssl || (python === undefined ? 'needs aiosmtpd: apt-get install python3-aiosmtpd' : false);

const script = `
import asyncio, json, logging, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

logging.disable()

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('nobody@'): return '550 5.1.1 no such mailbox'
        if address.startswith('later@'): return '450 4.2.0 greylisted'
        envelope.rcpt_tos.append(address)
        return '250 ok'
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({'from': envelope.mail_from, 'to': envelope.rcpt_tos, 
            'authenticated': session.authenticated, 'content': envelope.original_content.decode('latin1')}), flush=True)
        return '250 kept'

def authenticator(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and data.login == b'app@example.org'
    ok = ok and data.password == 'p\\u00e4ss:w%rd'.encode()
    return AuthResult(success=ok, handled=False)

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain('good.pem', 'good.key')
    loop = asyncio.get_running_loop()
    def smtp(**options): return lambda: SMTP(Handler(), authenticator=authenticator, loop=loop, **options)
    kinds = {
        'clear': (smtp(data_size_limit=20000), None),
        'starttls': (smtp(tls_context=context, require_starttls=True, auth_required=True), None),
        'login': (smtp(tls_context=context, require_starttls=True, auth_required=True,
            auth_exclude_mechanism=['PLAIN']), None),
        'implicit': (smtp(auth_required=True, auth_require_tls=False), context),
    }
    servers = {k: await loop.create_server(f, '127.0.0.1', 0, ssl=c) for k, (f, c) in kinds.items()}
    print(json.dumps({k: s.sockets[0].getsockname()[1] for k, s in servers.items()}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)

asyncio.run(main())
`;

/** One mail as the server kept it; the content is Latin-1, CRLF and all. */
export interface Kept {
  from: string;
  to: string[];
  authenticated: boolean;
  content: string;
}

export interface RealServer {
  /** Without TLS and at most 20,000 bytes; with STARTTLS; with STARTTLS and AUTH LOGIN only; with implicit TLS. */
  ports: { clear: number; starttls: number; login: number; implicit: number };
  kept: Kept[];
  close(): Promise<void>;
}

/** aiosmtpd; the account is `app@example.org` with the password `päss:w%rd`, `nobody@` and `later@` are refused. */
export async function startReal(identities: Identities): Promise<RealServer> {
  const file = join(identities.folder, 'server.py');
  writeFileSync(file, script);
  const child = spawn(python!, ['-W', 'ignore', file], { cwd: identities.folder, stdio: ['pipe', 'pipe', 'inherit'] });
  const kept: Kept[] = [];
  const lines = createInterface({ input: child.stdout });
  const died = once(child, 'exit').then(() => Promise.reject(new Error('aiosmtpd did not start')));
  const [first] = (await Promise.race([once(lines, 'line'), died])) as [string];
  died.catch(() => {});
  lines.on('line', (line) => kept.push(JSON.parse(line) as Kept));
  return {
    ports: JSON.parse(first) as RealServer['ports'],
    kept,
    async close() {
      const exited = once(child, 'close');
      child.stdin.end();
      await exited;
    },
  };
}
