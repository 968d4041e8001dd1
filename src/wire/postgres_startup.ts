import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { Disagreement } from './postgres_errors.ts';
import { Frames, message, readError } from './postgres_messages.ts';
import { createScram } from './postgres_scram.ts';
import type { PostgresAddress } from './postgres_url.ts';
import { MessageWriter, sslRequest } from './postgres_writer.ts';

/** A paused socket on which the server awaits the first statement, and the frames that read it. */
export interface Session {
  socket: Socket;
  frames: Frames;
}

/** The next `event` of the socket; rejects when it breaks or ends before that. */
function next<T>(socket: Socket, event: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onEvent = (value: T) => {
      socket.off('close', onClose);
      resolve(value);
    };
    const onClose = () => {
      socket.off(event, onEvent);
      reject(socket.errored ?? new Error('The server closed the connection.'));
    };
    if (socket.closed) onClose();
    else socket.once(event, onEvent).once('close', onClose);
  });
}

/**
 * TLS on a connected socket, by SSLRequest. `verify-full` checks chain (authorities: Node's and NODE_EXTRA_CA_CERTS)
 * and name; `require` checks neither. The server's `S` must come alone: bytes behind it would be an attacker's, slipped
 * in before the encryption (CVE-2021-23222).
 */
async function encrypt(socket: Socket, { host, sslmode }: PostgresAddress): Promise<Socket> {
  socket.write(sslRequest);
  const answer = await next<Buffer>(socket, 'data');
  socket.pause();
  if (answer[0] === 0x4e /* N */) throw new Disagreement('The server offers no TLS.');
  if (answer.length !== 1 || answer[0] !== 0x53 /* S */) throw new Error('The server does not answer an SSLRequest.');
  const encrypted = connectTls({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: sslmode === 'verify-full',
  });
  encrypted.on('error', () => {});
  await next(encrypted, 'secureConnect').catch((error: Error) => {
    // Set only when a certificate was looked at and found wanting.
    throw encrypted.authorizationError ? new Disagreement(error.message, { cause: error }) : error;
  });
  return encrypted;
}

interface Message {
  type: number;
  body: Buffer;
}

/** The server's messages one at a time; those without consequence are left out. */
function createInbox(socket: Socket, frames: Frames) {
  const arrived: Message[] = [];
  let wake = () => {};
  const onData = (chunk: Buffer) => {
    try {
      frames.push(chunk, (type, buffer, start, end) => {
        if (arrived.length >= 64) throw new Error('The server sends messages without end instead of letting us in.');
        const idle = type === message.notice || type === message.parameterStatus || type === message.backendKeyData;
        if (!idle) arrived.push({ type, body: buffer.subarray(start, end) });
      });
    } catch (error) {
      arrived.length = 0;
      socket.destroy(error as Error);
    }
    wake();
  };
  socket.on('data', onData).once('close', () => wake());
  return {
    async next(): Promise<Message> {
      for (;;) {
        const first = arrived.shift();
        if (first !== undefined) return first;
        if (socket.destroyed) throw socket.errored ?? new Error('The server closed the connection.');
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    close() {
      socket.off('data', onData).pause();
      if (arrived.length > 0) throw new Error('The server spoke out of turn.');
    },
  };
}

/** What an Authentication message asks for, or says, by its first number. */
const asks = { nothing: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

const PASSWORD_NEEDED = 'The server asks for a password and the database URL has none.';

/**
 * Startup and authentication: trust, SCRAM-SHA-256, and a cleartext password when the connection is encrypted. Only
 * parameters that pgbouncer knows too are sent.
 */
async function logIn(socket: Socket, frames: Frames, { user, password, database }: PostgresAddress): Promise<void> {
  const writer = new MessageWriter();
  const inbox = createInbox(socket, frames);
  const send = (filled: MessageWriter) => socket.write(filled.take());
  async function authentication(): Promise<{ kind: number; rest: Buffer }> {
    const { type, body } = await inbox.next();
    if (type === message.error) throw readError(body, 0, body.length).error;
    if (type !== message.authentication) throw new Error('The server skipped the authentication.');
    return { kind: body.readInt32BE(0), rest: body.subarray(4) };
  }
  async function scram(mechanisms: string[]): Promise<void> {
    if (!mechanisms.includes('SCRAM-SHA-256')) throw new Disagreement('The server offers no SCRAM-SHA-256.');
    if (password === undefined) throw new Disagreement(PASSWORD_NEEDED);
    const exchange = createScram({ password });
    send(writer.saslInitial('SCRAM-SHA-256', exchange.first));
    const challenge = await authentication();
    if (challenge.kind !== asks.saslContinue) throw new Error('The server broke off the SCRAM exchange.');
    send(writer.saslResponse(await exchange.respond(challenge.rest.toString('utf8'))));
    const proof = await authentication();
    if (proof.kind !== asks.saslFinal) throw new Error('The server gave no proof that it knows the password.');
    exchange.verify(proof.rest.toString('utf8'));
  }

  send(writer.startup({ user, database, client_encoding: 'UTF8', application_name: 'api' }));
  let asked = await authentication();
  if (asked.kind === asks.sasl) {
    await scram(asked.rest.toString('utf8').split('\0'));
    asked = await authentication();
  } else if (asked.kind === asks.cleartext) {
    if (!(socket instanceof TLSSocket)) throw new Disagreement('The server asks for a cleartext password without TLS.');
    if (password === undefined) throw new Disagreement(PASSWORD_NEEDED);
    send(writer.password(password));
    asked = await authentication();
  }
  if (asked.kind === asks.md5) {
    throw new Disagreement("The server wants the password as MD5: set password_encryption = 'scram-sha-256' there, " +
      'and the password anew.');
  }
  if (asked.kind !== asks.nothing) {
    throw new Disagreement(`The server wants authentication of kind ${asked.kind}, which is not known.`);
  }
  const { type, body } = await inbox.next();
  if (type === message.error) throw readError(body, 0, body.length).error;
  if (type !== message.ready) throw new Error('The server spoke out of turn.');
  inbox.close();
  frames.trusted = true;
}

/** Connects, encrypts and logs in. Error: why that did not come about within `timeoutMs`, or at all. */
export async function openSession(address: PostgresAddress, timeoutMs: number): Promise<Session> {
  const { host, port, sslmode } = address;
  const plain = connectTcp({ host, port, noDelay: true });
  // Every failure is told by 'close'; without a listener 'error' would end the process.
  plain.on('error', () => {});
  let socket: Socket = plain;
  const timer = setTimeout(() => {
    socket.destroy(new Error(`The server did not let us in within ${timeoutMs} ms.`));
  }, timeoutMs);
  try {
    await next(plain, 'connect');
    if (sslmode !== 'disable') socket = await encrypt(plain, address);
    const frames = new Frames();
    await logIn(socket, frames, address);
    return { socket, frames };
  } catch (error) {
    socket.destroy();
    plain.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
