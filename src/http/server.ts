import type { IncomingMessage, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';

import { Failure } from '../core/errors.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeContext } from './exchange.ts';
import { closeGently } from './linger.ts';
import { createServer, STATUS_CODES } from './node_http.ts';
import { PROBLEM_TYPE, toProblem } from './problem.ts';

/** How long a request may take to arrive: its head, and all of it; how often that is looked at. */
export interface Timeouts {
  headersMs: number;
  requestMs: number;
  checkMs: number;
  /** How long a client may wait before it uses its connection again, as `Keep-Alive` tells it. */
  keepAliveMs: number;
}

export interface HttpOptions extends Omit<ExchangeContext, 'closesAfter' | 'deliverSoon'> {
  /** Answers the exchange, always, and never throws. */
  handle(exchange: Exchange): void;
  /** A connection was ended with an answer that no exchange belongs to. */
  onRejected(failure: Failure, ip: string | undefined, requestId: string): void;
  timeouts?: Timeouts;
}

export interface HttpServer {
  /** Resolves with the port that it listens on. */
  listen(options: { host: string; port: number; reusePort?: boolean }): Promise<number>;
  /** Takes no new connection but those that the system has made already; resolves when it listens no more. */
  stopListening(): Promise<void>;
  /**
   * Takes no new connection; serves those that are open, each answer with `Connection: close`; resolves when all are
   * gone, at the latest after `timeoutMs`. Idle ones are left open for as long as they were promised to be: closing one
   * at the moment its client uses it would be a reset.
   */
  drain(timeoutMs: number): Promise<void>;
  readonly draining: boolean;
}

interface Newest {
  exchange: Exchange;
  res: ServerResponse;
}

const TIMEOUTS: Timeouts = { headersMs: 10_000, requestMs: 30_000, checkMs: 1_000, keepAliveMs: 5_000 };
/** How much longer an idle connection is left open: what was sent in time may still be on its way. */
const ON_THE_WAY_MS = 1_000;
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 20_000;
/** Connections that the system has made and the server has not taken yet. */
const MAX_WAITING = 1024;
/** Answers that leave together. */
const MAX_TOGETHER = 1000;

/** What routes answer to. */
const METHODS = 'GET, HEAD, POST, PATCH, DELETE, OPTIONS';

export function createHttpServer(options: HttpOptions): HttpServer {
  const { handle, onRejected, timeouts = TIMEOUTS, ...surroundings } = options;
  let draining = false;
  /** The newest exchange of each connection. */
  const newest = new WeakMap<Duplex, Newest>();
  /** Connections whose parser has found a fault: it says so again for whatever else arrives. */
  const faulty = new WeakSet<Duplex>();
  const context: ExchangeContext = {
    ...surroundings,
    // While others are let in, who is sent away would be back at once.
    closesAfter: (exchange) => draining && !server.listening && newest.get(exchange.req.socket)?.exchange === exchange,
    deliverSoon: createOutbox(),
  };

  const server = createServer({
    requireHostHeader: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    connectionsCheckingInterval: timeouts.checkMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    // A head that has begun on a kept connection is cut off as slow, with an answer, before its connection as idle.
    keepAliveTimeoutBuffer: timeouts.headersMs,
    optimizeEmptyRequests: true,
  });
  server.maxHeadersCount = 0; // Bounded by their size; a count would drop the surplus silently.
  server.maxConnections = MAX_CONNECTIONS;
  Object.assign(server, { httpAllowHalfOpen: true }); // Who has stopped sending (`nc -N`) still gets the answer.

  const receive = (awaitsContinue: boolean) => (req: IncomingMessage, res: ServerResponse) => {
    const last = newest.get(req.socket);
    // Nothing is served behind an answer with `Connection: close` (RFC 9112 §9.6).
    if (last?.res.shouldKeepAlive === false) return;
    const exchange = new Exchange(req, res, context, awaitsContinue);
    if (last === undefined) newest.set(req.socket, { exchange, res });
    else {
      last.exchange = exchange;
      last.res = res;
    }
    handle(exchange);
  };
  server.on('request', receive(false));
  server.on('checkContinue', receive(true));
  server.on('checkExpectation', receive(false));

  /** Answers a fault of the connection itself; the requests before it get their answers first. */
  function reject(socket: Socket, failure: Failure): void {
    const last = newest.get(socket);
    if (last?.exchange.status === 0 && !last.exchange.req.complete) return last.exchange.abort(failure);
    if (last?.res.closed === false) return void last.res.once('close', () => reject(socket, failure));
    if (!socket.writable) return;
    if (last?.exchange.req.complete === false) return socket.destroySoon(); // Its request has had its answer.
    const requestId = context.nextRequestId();
    const { status, headers, body } = toProblem(failure, requestId);
    const fields = [
      ...headers,
      'X-Content-Type-Options', 'nosniff',
      'X-Request-Id', requestId,
      'Date', new Date(context.wallTime()).toUTCString(),
      'Content-Type', PROBLEM_TYPE,
      'Content-Length', String(Buffer.byteLength(body)),
      'Connection', 'close',
    ];
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
    closeGently(socket);
    socket.write(`${head}\r\n${body}`);
    socket.destroySoon();
    onRejected(failure, socket.remoteAddress, requestId);
  }

  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    const failure = fromParser(error);
    if (failure === undefined) return void socket.destroy();
    if (faulty.has(socket)) return;
    faulty.add(socket);
    reject(socket as Socket, failure);
  });
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => socket.destroy()); // Node has taken its own listeners off.
    reject(socket as Socket, new Failure('method_not_allowed', 'This server is no proxy.', { allow: METHODS }));
  });

  let arrived = 0;
  server.on('connection', () => arrived++);
  /**
   * Takes the connections that the system has made already, which closing would reset. Node takes one in each turn of
   * the event loop, so none is left after a turn without one.
   */
  async function takeWaiting(): Promise<void> {
    await turn();
    for (let left = MAX_WAITING, seen = -1; left > 0 && seen !== arrived; left--) {
      seen = arrived;
      await turn();
    }
  }
  /** http.Server's own close() would cut idle connections at once; net.Server's resolves when all are gone. */
  const gone = Promise.withResolvers<void>();
  let stopped: Promise<void> | undefined;
  const stopListening = (): Promise<void> =>
    (stopped ??= takeWaiting().then(() => void NetServer.prototype.close.call(server, () => gone.resolve())));

  return {
    get draining() {
      return draining;
    },

    listen: ({ host, port, reusePort = false }) =>
      new Promise((resolve, fail) => {
        server.once('error', fail);
        server.listen({ host, port, reusePort, backlog: MAX_WAITING }, () => {
          server.off('error', fail);
          resolve((server.address() as AddressInfo).port);
        });
      }),

    stopListening,

    async drain(timeoutMs) {
      draining = true;
      await stopListening();
      const idle = setTimeout(() => server.closeIdleConnections(), timeouts.keepAliveMs + ON_THE_WAY_MS);
      const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
      await gone.promise;
      clearTimeout(idle);
      clearTimeout(deadline);
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * Answers leave together at the end of a turn of the event loop: a write to a connection whose other side sleeps
 * costs several times one whose other side is awake, and the first write wakes it for all.
 */
function createOutbox(): (exchange: Exchange) => void {
  let waiting: Exchange[] = [];
  const deliver = (): void => {
    const leaving = waiting;
    waiting = [];
    for (const exchange of leaving) exchange.deliver();
  };
  return (exchange) => {
    if (waiting.length === 0) setImmediate(deliver);
    waiting.push(exchange);
    // Pipelined requests of many connections, all within one turn, would pile up by the million.
    if (waiting.length === MAX_TOGETHER) deliver();
  };
}

/** An error of Node's HTTP parser or its timeouts, as the client is told; undefined when nobody is there to be told. */
function fromParser(error: NodeJS.ErrnoException & { rawPacket?: Buffer }): Failure | undefined {
  const { code = '', rawPacket } = error;
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Failure('request_timeout');
  if (code === 'HPE_HEADER_OVERFLOW') {
    const longTarget = rawPacket !== undefined && /^[A-Z]+ \S{8192}/.test(rawPacket.toString('latin1'));
    return new Failure(longTarget ? 'target_too_long' : 'headers_too_large');
  }
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return new Failure('body_too_large');
  if (!code.startsWith('HPE_')) return undefined;
  return new Failure('malformed_request', 'This is not valid HTTP/1.1.', { cause: error });
}
