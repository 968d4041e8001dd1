import { connect, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Socket } from 'node:net';
import { SmtpFailure } from './smtp_failure.ts';
import type { Step } from './smtp_failure.ts';
import { ReplyReader } from './smtp_reply.ts';
import type { Reply } from './smtp_reply.ts';

export interface ChannelOptions {
  /** How long the server may take to answer each step, in ms. */
  stepMs: number;
  /** How long the whole conversation may take, in ms. */
  totalMs: number;
  /** The authorities to believe, in PEM, in place of Node's (which NODE_EXTRA_CA_CERTS adds to). */
  ca?: string;
  /** Ends the conversation wherever it is. */
  signal?: AbortSignal;
}

/** An answer to QUIT changes nothing any more; this is what courtesy may cost, in ms. */
const QUIT_MS = 2000;
/** RFC 4954 §4.3, for the longest line there is: a base64 response. */
const MAX_COMMAND_BYTES = 12_288;

/**
 * One connection to a server, commands out and replies in, strictly by turns. Whatever goes wrong (silence, a reply
 * that is none, a reply before its command, a lost connection) closes it and is an SmtpFailure of the step waited in.
 */
export class Channel {
  readonly #host: string;
  readonly #ca: string | undefined;
  #stepMs: number;
  #socket: Socket;
  readonly #replies = new ReplyReader();
  #isSecure = false;
  #broken: { reason: string; cause?: unknown } | undefined;
  #look: () => void = () => {};

  constructor(host: string, port: number, options: ChannelOptions) {
    this.#host = host;
    this.#ca = options.ca;
    this.#stepMs = options.stepMs;
    this.#socket = connect({ host, port, noDelay: true });
    const timer = setTimeout(() => this.#break('the conversation took too long'), options.totalMs);
    const abort = (): void => this.#break('given up because this server stops');
    this.#socket.on('close', () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    });
    this.#listen(this.#socket);
    options.signal?.addEventListener('abort', abort);
    if (options.signal?.aborted) abort();
  }

  /** Encrypted, and the certificate verified. */
  get isSecure(): boolean {
    return this.#isSecure;
  }

  /** Is the other end this machine? Judged by the address connected to, not by its name. */
  get isLoopback(): boolean {
    return /^(?:::1|(?:::ffff:)?127\.[\d.]+)$/.test(this.#socket.remoteAddress ?? '');
  }

  async connected(): Promise<void> {
    this.#socket.once('connect', () => this.#look());
    await this.#until('connect', () => (this.#socket.readyState === 'open' ? true : undefined));
  }

  /**
   * Everything from here on is TLS, at least 1.2, with a certificate for the host's name from a known authority.
   * Bytes that came in the clear after the reply to STARTTLS would pass for encrypted ones: they end the connection.
   */
  async secure(): Promise<void> {
    if (!this.#replies.isEmpty) this.#break('the server sent something in the clear for after TLS');
    if (this.#broken !== undefined) throw this.#failure('tls');
    const host = this.#host;
    const clear = this.#socket;
    clear.removeAllListeners('data');
    const socket = connectTls({
      socket: clear,
      host,
      servername: isIP(host) === 0 ? host : '',
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      ...(this.#ca === undefined ? {} : { ca: this.#ca }),
    });
    this.#socket = socket;
    this.#listen(socket);
    socket.once('secureConnect', () => {
      this.#isSecure = true;
      this.#look();
    });
    await this.#until('tls', () => (this.#isSecure ? true : undefined));
  }

  /** The reply that needs no command: the greeting. */
  reply(step: Step): Promise<Reply> {
    return this.#until(step, () => this.#replies.take());
  }

  /** Sends one line and waits for its reply. A line that is not printable ASCII is a bug and is not sent. */
  async command(step: Step, line: string): Promise<Reply> {
    if (!/^[ -~]+$/.test(line) || line.length > MAX_COMMAND_BYTES - 2) {
      throw new Error('an SMTP command is one line of printable ASCII');
    }
    return this.content(step, `${line}\r\n`);
  }

  /** Sends text as it is and waits for the reply. */
  async content(step: Step, text: string): Promise<Reply> {
    if (!this.#replies.isEmpty) this.#break('the server spoke out of turn');
    if (this.#broken !== undefined) throw this.#failure(step);
    this.#socket.write(text, 'latin1');
    return this.reply(step);
  }

  /** Takes leave of a server that still listens, and closes the connection. Never fails. */
  async close(): Promise<void> {
    this.#stepMs = Math.min(this.#stepMs, QUIT_MS);
    await this.command('quit', 'QUIT').catch(() => undefined);
    this.#break('closed');
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#replies.push(chunk);
      } catch (cause) {
        this.#break('the server does not speak SMTP', cause);
      }
      this.#look();
    });
    socket.on('error', (cause) => this.#break('the connection failed', cause));
    socket.on('close', () => this.#break('the server closed the connection'));
  }

  /** Waits until `found` finds something, asking again whenever anything happens, at most for the time of a step. */
  #until<T>(step: Step, found: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      // A server that waits for TLS to begin greets nobody before.
      const hint = step === 'greeting' && !this.#isSecure ? '; if it speaks TLS from the start: smtps://' : '';
      const timer = setTimeout(() => this.#break(`the server did not answer in time${hint}`), this.#stepMs);
      this.#look = () => {
        const value = found();
        if (value === undefined && this.#broken === undefined) return;
        clearTimeout(timer);
        this.#look = () => {};
        if (value === undefined) reject(this.#failure(step));
        else resolve(value);
      };
      this.#look();
    });
  }

  /** The first reason stands. A reply that came whole before it can still be taken. */
  #break(reason: string, cause?: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken = { reason, cause };
    this.#socket.destroy();
    this.#look();
  }

  #failure(step: Step): SmtpFailure {
    return new SmtpFailure(step, this.#broken?.reason ?? 'unknown', { cause: this.#broken?.cause });
  }
}
