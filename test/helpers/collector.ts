import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { TestContext } from 'node:test';

/** A server that takes spans as OpenTelemetry's collector does. */
export interface Collector {
  endpoint: string;
  /** Of every request: path, headers and parsed body, in order. */
  requests: { path: string; headers: IncomingMessage['headers']; body: any }[];
  /** Resolves when `n` requests have arrived. */
  received(n: number): Promise<void>;
  /** Every span received. */
  spans(): any[];
}

export async function openCollector(
  t: TestContext, answer: (response: ServerResponse, n: number) => void = (response) => response.end('{}'), port = 0,
): Promise<Collector> {
  const requests: Collector['requests'] = [];
  const server = createServer(async (request, response) => {
    requests.push({ path: `${request.method} ${request.url}`, headers: request.headers, body: await json(request) });
    answer(response, requests.length);
    server.emit('told');
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async received(n) {
      while (requests.length < n || requests[n - 1]?.body === undefined) await once(server, 'told');
    },
    spans: () => requests.flatMap(({ body }) => body.resourceSpans[0].scopeSpans[0].spans),
  };
}
