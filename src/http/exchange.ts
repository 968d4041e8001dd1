import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';

import { Failure } from '../core/errors.ts';
import type { Charge } from '../core/rate_limit.ts';
import { readBody } from './body.ts';
import { closeGently } from './linger.ts';
import { PROBLEM_TYPE, toProblem } from './problem.ts';
import { parseTarget } from './target.ts';

/** What the server tells an exchange about its surroundings. */
export interface ExchangeContext {
  /** Monotonic nanoseconds. */
  now: () => number;
  clientIp(req: IncomingMessage, forwardedFor: string | undefined): string;
  nextRequestId(): string;
  /** Wall time, ms. */
  wallTime(): number;
  /** Whether the connection ends with the answer to this exchange, for a reason that is not its own. */
  closesAfter(exchange: Exchange): boolean;
  /** Largest request body, bytes. */
  bodyLimit: number;
  /** Calls the exchange's `deliver` before the event loop waits again. */
  deliverSoon(exchange: Exchange): void;
  /** Called once an answer is final. */
  onAnswered(exchange: Exchange): void;
}

const STALLED_MS = 60_000;
const KEPT_REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** One request and its answer. */
export class Exchange {
  readonly req: IncomingMessage;
  readonly method: string;
  /** As it arrived: nothing decoded. */
  readonly path: string;
  /** What follows the `?`, undecoded; undefined without one. */
  readonly search: string | undefined;
  readonly requestId: string;
  readonly ip: string;
  /** Monotonic nanoseconds. */
  readonly startedAt: number;
  /** What is wrong with the request before anyone looked for a route. */
  readonly fault: Failure | undefined;

  host: string | undefined;
  authorization: string | undefined;
  contentType: string | undefined;
  contentEncoding: string | undefined;
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  origin: string | undefined;
  userAgent: string | undefined;
  traceparent: string | undefined;
  tracestate: string | undefined;
  /** `Access-Control-Request-Method`, which makes an OPTIONS a preflight. */
  preflight: string | undefined;

  /** Header fields that every answer to this request carries: name, value, name, value, … */
  readonly headers: string[] = ['X-Content-Type-Options', 'nosniff'];
  /** The template of the matched route; empty when none did. */
  route = '';
  /** The caller, once known. */
  userId: string | undefined;
  /** The W3C trace that it is part of, if any. */
  traceId: string | undefined;
  /** 0 until answered. */
  status = 0;
  failure: Failure | undefined;
  /** What the limiter took for this request. */
  charges: Charge[] = [];
  readonly #res: ServerResponse;
  readonly #context: ExchangeContext;
  #awaitsContinue: boolean;
  #answer: { headers: string[]; body: string | Buffer | undefined; encoding: BufferEncoding } | undefined;
  #aborted = false;
  #abortBody: ((failure: Failure) => void) | undefined;

  constructor(req: IncomingMessage, res: ServerResponse, context: ExchangeContext, awaitsContinue: boolean) {
    this.req = req;
    this.#res = res;
    this.#context = context;
    this.#awaitsContinue = awaitsContinue;
    this.startedAt = context.now();
    this.method = req.method!;
    const { requestId, forwardedFor, repeated } = this.#readHeaders(req.rawHeaders);
    this.requestId = requestId || context.nextRequestId();
    this.headers.push('X-Request-Id', this.requestId);
    this.ip = context.clientIp(req, forwardedFor);
    const target = parseTarget(req, this.host);
    this.path = target.path;
    this.search = target.search;
    this.fault = repeated ?? target.fault ?? this.#framingFault();
  }

  /**
   * One pass over the header fields as they came, since Node's `headers` hides repetitions: of a field that may be
   * there once (RFC 9110 §5.3) a second one is a way to be misunderstood.
   */
  #readHeaders(raw: readonly string[]) {
    let requestId: string | undefined;
    let forwardedFor: string | undefined;
    let repeated: Failure | undefined;
    for (let i = 0; i < raw.length; i += 2) {
      const value = raw[i + 1]!;
      switch (raw[i]!.toLowerCase()) {
        case 'host':
          if (this.host !== undefined) repeated = new Failure('invalid_host', 'Host is repeated.');
          this.host = value;
          break;
        case 'authorization':
          if (this.authorization !== undefined) repeated = new Failure('duplicate_header', 'Authorization is repeated.');
          this.authorization = value;
          break;
        case 'content-type':
          if (this.contentType !== undefined) repeated = new Failure('duplicate_header', 'Content-Type is repeated.');
          this.contentType = value;
          break;
        case 'content-encoding':
          this.contentEncoding = value;
          break;
        case 'content-length':
          this.contentLength = value;
          break;
        case 'transfer-encoding':
          this.transferEncoding = this.transferEncoding === undefined ? value : `${this.transferEncoding},${value}`;
          break;
        case 'x-request-id':
          requestId = requestId === undefined && KEPT_REQUEST_ID.test(value) ? value : '';
          break;
        case 'x-forwarded-for':
          forwardedFor = forwardedFor === undefined ? value : `${forwardedFor},${value}`;
          break;
        case 'origin':
          this.origin = value;
          break;
        case 'user-agent':
          this.userAgent = value;
          break;
        case 'traceparent':
          this.traceparent = this.traceparent === undefined ? value : 'repeated';
          break;
        case 'tracestate':
          this.tracestate = this.tracestate === undefined ? value : `${this.tracestate},${value}`;
          break;
        case 'access-control-request-method':
          this.preflight = value;
      }
    }
    return { requestId, forwardedFor, repeated };
  }

  /** `chunked` is the only transfer coding that is read here (RFC 9112 §6.1), and HTTP/1.0 knows none. */
  #framingFault(): Failure | undefined {
    if (this.transferEncoding === undefined) return undefined;
    if (this.transferEncoding.toLowerCase() === 'chunked' && this.req.httpVersion === '1.1') return undefined;
    return new Failure('malformed_request', 'The body may be chunked and have no other transfer coding.');
  }

  /** Whole body, at most the limit. */
  readBody(): Promise<Buffer> {
    const { bodyLimit } = this.#context;
    if (Number(this.contentLength) > bodyLimit) {
      throw new Failure('body_too_large', `The body may have at most ${bodyLimit} bytes.`);
    }
    if (this.#awaitsContinue) this.#res.writeContinue();
    this.#awaitsContinue = false;
    const aborted = new Promise<never>((_, reject) => (this.#abortBody = reject));
    return Promise.race([readBody(this.req, bodyLimit), aborted]);
  }

  /** The rest of the request will not come: the parser found a fault in it, or it took too long. */
  abort(failure: Failure): void {
    this.#aborted = true;
    if (this.#abortBody === undefined) this.refuse(failure);
    else this.#abortBody(failure);
  }

  /** Answers. `headers` are added to those of the exchange; a body goes with its media type. */
  send(status: number, mediaType?: string, body?: string | Buffer, headers?: readonly string[]): void {
    if (this.status !== 0) return;
    const all = this.#begin(status, headers);
    let encoding: BufferEncoding = 'utf8';
    if (body === undefined) {
      if (status !== 204) all.push('Content-Length', '0');
    } else {
      const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
      if (length === body.length) encoding = 'latin1'; // All ASCII: the same bytes, written without looking at each.
      all.push('Content-Type', mediaType!, 'Content-Length', String(length));
    }
    this.#answer = { headers: all, body, encoding };
    this.#context.deliverSoon(this);
    this.#context.onAnswered(this);
  }

  /** Hands the answer to the connection. */
  deliver(): void {
    const { headers, body, encoding } = this.#answer!;
    if (this.#context.closesAfter(this)) this.#res.shouldKeepAlive = false;
    this.#res.writeHead(this.status, headers);
    this.#res.end(body, encoding);
    const { socket } = this.req;
    if (socket.writableLength > 0) socket.setTimeout(STALLED_MS); // Who does not take the answer is not waited for.
  }

  /** Answers with what `body` gives, in chunks; a failure inside cuts the connection, as nothing else can be said. */
  sendStream(status: number, mediaType: string, body: Readable, headers?: readonly string[]): void {
    if (this.status !== 0) return void body.destroy();
    if (this.#context.closesAfter(this)) this.#res.shouldKeepAlive = false;
    this.#res.writeHead(status, [...this.#begin(status, headers), 'Content-Type', mediaType]);
    const { socket } = this.req;
    let isOver = false;
    const over = (): void => {
      socket.off('close', over);
      if (isOver) return;
      isOver = true;
      body.destroy();
      this.#context.onAnswered(this);
    };
    // An answer whose client went before it began, or while it waited behind others, is never closed.
    if (socket.closed) return over();
    socket.once('close', over);
    this.#res.once('close', over);
    if (this.method === 'HEAD') return void this.#res.end();
    socket.setTimeout(STALLED_MS);
    body.once('error', () => this.#res.destroy());
    body.pipe(this.#res);
  }

  /** Answers with what went wrong. */
  refuse(failure: Failure): void {
    this.failure = failure;
    const { status, headers, body } = toProblem(failure, this.requestId);
    this.send(status, PROBLEM_TYPE, body, headers);
  }

  #begin(status: number, headers: readonly string[] | undefined): string[] {
    this.status = status;
    const { req } = this;
    // A body that nobody asked for is read past when it is small and declared; otherwise it ends the connection.
    const { contentLength, transferEncoding } = this;
    const hasBody = contentLength !== undefined || transferEncoding !== undefined;
    const isSmall = Number(contentLength) <= this.#context.bodyLimit && !this.#awaitsContinue && !this.#aborted;
    const unread = hasBody && !isSmall && !req.complete;
    if (unread) closeGently(req.socket);
    if (unread) this.#res.shouldKeepAlive = false;
    return headers === undefined ? this.headers : [...this.headers, ...headers];
  }
}
