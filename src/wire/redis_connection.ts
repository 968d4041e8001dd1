import type { Socket } from 'node:net';
import { RespParser, RedisError, toCommand } from './resp.ts';
import type { Reply } from './resp.ts';

/** A command whose reply has not come. Replies come in the order of the commands. */
interface Call {
  command: string;
  resolve: (reply: Reply) => void;
  reject: (reason: Error) => void;
  deadline: number;
  /** Monotonic nanoseconds, counted from when it was written: our own late turn is not the server's delay. */
  dueAt: number;
  next: Call | undefined;
}

export interface ConnectionOptions {
  /** Connected or on the way; nobody else reads or writes it. */
  socket: Socket;
  /** Monotonic nanoseconds. */
  now: () => number;
  /** Commands without a reply, at most. */
  maxCalls: number;
  /** The longest reply, in bytes. */
  maxReplyBytes: number;
  /** Called once, when the connection is no more: with the reason that every unanswered call was rejected with. */
  onEnd: (reason: Error) => void;
}

/**
 * Commands and replies on one socket, pipelined: what is asked in one turn of the event loop leaves in one write.
 *
 * A reply belongs to the oldest call. So that none ever reaches the wrong caller, the first thing that goes wrong (a
 * call past its deadline, a byte that is no RESP, a reply that nobody waits for) ends the connection for good and
 * rejects whoever still waits.
 */
export class RedisConnection {
  readonly #socket: Socket;
  readonly #now: () => number;
  readonly #maxCalls: number;
  readonly #onEnd: (reason: Error) => void;
  #oldest: Call | undefined;
  #newest: Call | undefined;
  #firstUnwritten: Call | undefined;
  #calls = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended: Error | undefined;

  constructor({ socket, now, maxCalls, maxReplyBytes, onEnd }: ConnectionOptions) {
    this.#socket = socket;
    this.#now = now;
    this.#maxCalls = maxCalls;
    this.#onEnd = onEnd;
    const parser = new RespParser({ maxBytes: maxReplyBytes, onReply: (reply) => this.#answer(reply) });
    socket.on('data', (chunk: Buffer) => {
      if (this.#ended !== undefined) return;
      try {
        parser.feed(chunk);
      } catch (error) {
        this.end(new Error('Redis sent what is no valid reply', { cause: error }));
      }
    });
    socket.on('error', (error) => this.end(error));
    socket.on('end', () => this.end(new Error('Redis closed the connection')));
    socket.on('close', () => this.end(new Error('Redis closed the connection')));
  }

  /** The reply within `deadline` nanoseconds. Rejects with `RedisError` for an error reply. */
  call(args: readonly string[], deadline: number): Promise<Reply> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (this.#calls >= this.#maxCalls) return Promise.reject(new Error('too many calls wait for Redis'));
    return new Promise((resolve, reject) => {
      const call: Call = { command: toCommand(args), resolve, reject, deadline, dueAt: Infinity, next: undefined };
      if (this.#newest === undefined) this.#oldest = call;
      else this.#newest.next = call;
      this.#newest = call;
      this.#calls++;
      if (this.#firstUnwritten !== undefined) return;
      this.#firstUnwritten = call;
      setImmediate(() => this.#write());
    });
  }

  /** Closes the socket at once and rejects every unanswered call with `reason`. */
  end(reason: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    clearTimeout(this.#timer);
    this.#socket.destroy();
    for (let call = this.#oldest; call !== undefined; call = call.next) call.reject(reason);
    this.#oldest = this.#newest = this.#firstUnwritten = undefined;
    this.#onEnd(reason);
  }

  #write(): void {
    if (this.#firstUnwritten === undefined) return;
    const now = this.#now();
    let text = '';
    for (let call: Call | undefined = this.#firstUnwritten; call !== undefined; call = call.next) {
      text += call.command;
      call.dueAt = now + call.deadline;
    }
    this.#firstUnwritten = undefined;
    this.#socket.write(text);
    if (this.#timer === undefined) this.#watch(this.#oldest!.dueAt - now);
  }

  #answer(reply: Reply): void {
    if (this.#ended !== undefined) return;
    const call = this.#oldest;
    if (call === undefined || call === this.#firstUnwritten) throw new Error('a reply that nobody waits for');
    this.#oldest = call.next;
    this.#calls--;
    if (call.next === undefined) {
      this.#newest = undefined;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    if (!(reply instanceof RedisError)) return call.resolve(reply);
    call.reject(reply);
    // The name may lead to another server since a failover; only a new connection finds out.
    if (reply.code === 'READONLY') this.end(reply);
  }

  /** One timer watches the oldest call. It holds the process, so that what awaits a reply gets one or an error. */
  #watch(nanoseconds: number): void {
    this.#timer = setTimeout(() => {
      // A reply may lie in the socket, unread because this process was busy: read first, then judge.
      setImmediate(() => this.#judge());
    }, Math.ceil(nanoseconds / 1e6));
  }

  #judge(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const call = this.#oldest;
    if (call === undefined || call === this.#firstUnwritten) return;
    const left = call.dueAt - this.#now();
    if (left > 0) return this.#watch(left);
    this.end(new Error(`Redis did not answer within ${call.deadline / 1e6} ms`));
  }
}
