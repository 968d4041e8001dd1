import { once } from 'node:events';
import { createServer } from 'node:net';
import { TLSSocket, createSecureContext } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';

/** What is sent at one step: these bytes (undefined: nothing at all), or whatever the function does. */
export type Answer = string | undefined | ((socket: Socket) => void);

/** The steps at which a server can misbehave; those left out are answered politely. */
export interface Manners {
  greeting?: Answer;
  ehlo?: Answer;
  ehloAfterTls?: Answer;
  helo?: Answer;
  starttls?: Answer;
  auth?: Answer;
  sender?: Answer;
  recipient?: Answer;
  data?: Answer;
  content?: Answer;
  quit?: Answer;
}

export interface RudeOptions {
  /** Without them EHLO does not offer STARTTLS. */
  identity?: { cert: string; key: string };
  implicitTls?: boolean;
  host?: string;
}

export interface Rude {
  port: number;
  /** Every line of every client, in order, marked `tls ` when it came encrypted; contents included. */
  heard: string[];
  connections: number;
  /** The names that clients asked for in TLS (SNI). */
  names: string[];
  close(): Promise<void>;
}

/** A small SMTP server that keeps to the protocol except where it is told not to. */
export async function startRude(manners: Manners, options: RudeOptions = {}): Promise<Rude> {
  const sockets = new Set<Socket>();
  const heard: string[] = [];
  const names: string[] = [];
  const server = createServer((socket) => {
    rude.connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    if (options.implicitTls) serve(encrypt(socket, options, names), true, true);
    else serve(socket, false, true);
  });

  const answer = (socket: Socket, step: keyof Manners, polite: string): void => {
    const said = step in manners ? manners[step] : polite;
    if (typeof said === 'function') said(socket);
    else if (said !== undefined) socket.write(said);
  };

  const serve = (socket: Socket, secure: boolean, greets: boolean): void => {
    let buffered = '';
    let inContent = false;
    let credentials = 0;
    const tell = (step: keyof Manners, polite: string): void => answer(socket, step, polite);
    const take = (line: string): void => {
      heard.push(secure ? `tls ${line}` : line);
      if (inContent && line !== '.') return;
      const verb = line.split(/[ :]/)[0]!.toUpperCase();
      const extensions = `${options.identity && !secure ? '250-STARTTLS\r\n' : ''}250-SIZE 1000000\r\n`;
      if (inContent) tell('content', '250 kept\r\n');
      else if (credentials > 0) socket.write(--credentials > 0 ? '334 UGFzc3dvcmQ6\r\n' : '235 welcome\r\n');
      else if (line === 'AUTH LOGIN') socket.write('334 VXNlcm5hbWU6\r\n');
      else if (line === 'AUTH PLAIN') socket.write('334 \r\n');
      else if (verb === 'EHLO' && secure) tell('ehloAfterTls', `250-rude\r\n${extensions}250 AUTH PLAIN LOGIN\r\n`);
      else if (verb === 'EHLO') tell('ehlo', `250-rude\r\n${extensions}250 8BITMIME\r\n`);
      else if (verb === 'HELO') tell('helo', '250 rude\r\n');
      else if (verb === 'AUTH') tell('auth', '235 welcome\r\n');
      else if (verb === 'MAIL') tell('sender', '250 ok\r\n');
      else if (verb === 'RCPT') tell('recipient', '250 ok\r\n');
      else if (verb === 'DATA') tell('data', '354 go on\r\n');
      else if (verb === 'QUIT') tell('quit', '221 bye\r\n');
      else if (verb === 'STARTTLS') tell('starttls', '220 go on\r\n');
      else socket.write('500 what?\r\n');
      if (line === 'AUTH LOGIN') credentials = 2;
      if (line === 'AUTH PLAIN') credentials = 1;
      inContent = line === 'DATA' && !('data' in manners);
    };
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      buffered += chunk.toString('latin1');
      for (let end = buffered.indexOf('\r\n'); end !== -1; end = buffered.indexOf('\r\n')) {
        const line = buffered.slice(0, end);
        buffered = buffered.slice(end + 2);
        take(line);
        if (line === 'STARTTLS' && options.identity && !socket.destroyed) {
          socket.removeAllListeners('data');
          serve(encrypt(socket, options, names), true, false);
          return;
        }
      }
    });
    if (greets) tell('greeting', '220 rude ESMTP\r\n');
  };

  server.listen(0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  const rude: Rude = {
    port: (server.address() as AddressInfo).port,
    heard,
    connections: 0,
    names,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return rude;
}

export async function withRude(
  manners: Manners,
  options: RudeOptions,
  story: (rude: Rude) => Promise<void>,
): Promise<void> {
  const rude = await startRude(manners, options);
  try {
    await story(rude);
  } finally {
    await rude.close();
  }
}

function encrypt(socket: Socket, options: RudeOptions, names: string[]): TLSSocket {
  const secureContext = createSecureContext({ ...options.identity });
  const SNICallback: TlsOptions['SNICallback'] = (name, done) => {
    names.push(name);
    done(null, secureContext);
  };
  return new TLSSocket(socket, { isServer: true, secureContext, SNICallback });
}

/** Answers without end, as fast as they are read. */
export const endless = (text: string): Answer => (socket) => {
  const more = (): void => {
    while (!socket.destroyed && socket.write(text)) continue;
  };
  socket.on('drain', more);
  more();
};

/** A byte at a time, slower than anybody waits. */
export const dripping = (text: string): Answer => (socket) => {
  let sent = 0;
  const timer = setInterval(() => socket.write(text[sent++ % text.length]!), 10);
  socket.on('close', () => clearInterval(timer));
};

export const dropping: Answer = (socket) => socket.destroy();
