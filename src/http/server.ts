import { createServer, STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { Failure } from '../core/errors.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeContext } from './exchange.ts';
import { closeGently } from './linger.ts';
import { PROBLEM_TYPE, toProblem } from './problem.ts';

export interface HttpOptions extends Omit<ExchangeContext, 'isDraining'> {
  /** Answers the exchange, always, and never throws. */
  handle(exchange: Exchange): void;
  /** A connection was ended with an answer that no exchange belongs to. */
  onRejected(failure: Failure, ip: string | undefined, requestId: string): void;
}

export interface HttpServer {
  /** Resolves with the port that it listens on. */
  listen(options: { host: string; port: number; reusePort?: boolean }): Promise<number>;
  /**
   * Takes no new connection; serves those that are open, each answer with `Connection: close`; resolves when all are
   * gone, at the latest after `timeoutMs`. Idle ones are left to their keep-alive timeout: closing one at the moment
   * its client uses it would be a reset.
   */
  drain(timeoutMs: number): Promise<void>;
  readonly draining: boolean;
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const CHECK_INTERVAL_MS = 1_000;
const STALLED_MS = 60_000;
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 20_000;

export function createHttpServer({ handle, onRejected, ...surroundings }: HttpOptions): HttpServer {
  let draining = false;
  const context: ExchangeContext = { ...surroundings, isDraining: () => draining };
  /** The newest exchange of each connection: where a fault of the parser belongs while it is not answered. */
  const current = new WeakMap<Duplex, Exchange>();

  const server = createServer({
    requireHostHeader: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    optimizeEmptyRequests: true,
  });
  server.maxHeadersCount = 0; // Bounded by their size; a count would drop the surplus silently.
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = STALLED_MS;

  const receive = (awaitsContinue: boolean) => (req: IncomingMessage, res: ServerResponse) => {
    const exchange = new Exchange(req, res, context, awaitsContinue);
    current.set(req.socket, exchange);
    handle(exchange);
  };
  server.on('request', receive(false));
  server.on('checkContinue', receive(true));
  server.on('checkExpectation', receive(false));

  function reject(socket: Duplex, failure: Failure): void {
    const exchange = current.get(socket);
    if (exchange?.status === 0) {
      if (exchange.abortBody !== undefined) return exchange.abortBody(failure);
      return exchange.refuse(failure);
    }
    if (!socket.writable) return void socket.destroy();
    const requestId = context.nextRequestId();
    const { status, headers, body } = toProblem(failure, requestId);
    const fields = [
      ...headers,
      ...['X-Content-Type-Options', 'nosniff', 'X-Request-Id', requestId, 'Date', new Date(context.wallTime()).toUTCString()],
      ...['Content-Type', PROBLEM_TYPE, 'Content-Length', String(Buffer.byteLength(body)), 'Connection', 'close'],
    ];
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
    closeGently(socket as Socket);
    socket.write(`${head}\r\n${body}`);
    (socket as Socket).destroySoon();
    onRejected(failure, (socket as Socket).remoteAddress, requestId);
  }

  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    const failure = fromParser(error);
    if (failure === undefined) socket.destroy();
    else reject(socket, failure);
  });
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => {
    reject(socket, new Failure('method_not_allowed', 'This server is no proxy.', { allow: 'GET, HEAD, OPTIONS, POST' }));
  });

  return {
    get draining() {
      return draining;
    },

    listen: ({ host, port, reusePort = false }) =>
      new Promise((resolve, fail) => {
        server.once('error', fail);
        server.listen({ host, port, reusePort, backlog: 1024 }, () => {
          server.off('error', fail);
          resolve((server.address() as AddressInfo).port);
        });
      }),

    drain: (timeoutMs) =>
      new Promise((resolve) => {
        draining = true;
        const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
        // http.Server's own close() would cut idle connections at once; net.Server's only stops the listening.
        NetServer.prototype.close.call(server, () => {
          clearTimeout(deadline);
          server.close(() => resolve());
        });
      }),
  };
}

/** What a person is told of an error of Node's HTTP parser or its timeouts; undefined when nobody is there to be told. */
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
