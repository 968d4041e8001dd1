// A load: as many requests as a closed loop of keep-alive connections gets answered; prints a LoadResult as JSON.
//
//   node scripts/bench/load.ts '{"port":8000,"method":"GET","path":"/","headers":{},"connections":32,"seconds":4}'

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

export interface Load {
  port: number;
  method: 'GET' | 'POST';
  path: string;
  headers: Record<string, string>;
  body?: string;
  /**
   * A file of refresh tokens, one a line, more than there are connections. Each is sent once, in place of `body`;
   * the token that the answer brings takes its place.
   */
  tokensFile?: string;
  connections: number;
  seconds: number;
}

export interface LoadResult {
  /** Answered before the time was over. */
  requests: number;
  /** From the start to the last of them. */
  seconds: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  non2xx: number;
  socketErrors: number;
}

/** How long the answers that are still due are waited for, or the server would work them off in the next run. */
const drainMs = 10_000;
/** Connections that break are opened again, this many times in all. */
const maxReconnects = 200;

export function runLoad(load: Load): Promise<LoadResult> {
  const { port, connections, seconds, tokensFile } = load;
  const pool = tokensFile === undefined ? [] : readFileSync(tokensFile, 'utf8').trimEnd().split('\n');
  const constant = tokensFile === undefined ? toRequest(load, load.body ?? '') : undefined;
  const latencies: number[] = [];
  const result: LoadResult = { requests: 0, seconds: 0, p50Ms: 0, p99Ms: 0, maxMs: 0, non2xx: 0, socketErrors: 0 };
  const began = performance.now();
  let lastAt = began;
  const sockets = new Set<Socket>();
  let isOver = false;
  setTimeout(() => {
    isOver = true;
  }, seconds * 1000);
  const drained = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, seconds * 1000 + drainMs);

  const open = (closed: () => void): void => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let received = '';
    let sentAt = 0;
    const send = (): void => {
      const request = constant ?? toRequest(load, JSON.stringify({ refresh_token: pool.pop() ?? '' }));
      sentAt = performance.now();
      socket.write(request, 'latin1');
    };
    sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('connect', send);
    socket.on('data', (chunk) => {
      received += chunk;
      const answer = parseAnswer(received);
      if (answer === undefined) return;
      received = '';
      if (isOver) {
        socket.destroy();
        return;
      }
      lastAt = performance.now();
      result.requests += 1;
      latencies.push(lastAt - sentAt);
      if (answer.status < 200 || answer.status > 299) result.non2xx += 1;
      else if (constant === undefined) pool.push(/"refresh_token":"([^"]+)"/.exec(answer.body)?.[1] ?? '');
      send();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      if (isOver) {
        closed();
        return;
      }
      result.socketErrors += 1;
      if (result.socketErrors < maxReconnects) open(closed);
      else closed();
    });
  };

  const all = Array.from({ length: connections }, () => new Promise<void>((resolve) => open(resolve)));
  return Promise.all(all).then(() => {
    clearTimeout(drained);
    latencies.sort((a, b) => a - b);
    const percentile = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
    result.seconds = (lastAt - began) / 1000;
    return Object.assign(result, { p50Ms: percentile(0.5), p99Ms: percentile(0.99), maxMs: percentile(1) });
  });
}

function toRequest({ port, method, path, headers }: Load, body: string): string {
  const all = { Host: `127.0.0.1:${port}`, ...headers, ...(body === '' ? {} : { 'Content-Length': `${body.length}` }) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

/** A whole answer, or undefined as long as some of it is missing. */
function parseAnswer(received: string): { status: number; body: string } | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const status = Number(received.slice(9, 12));
  const at = end + 4;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end))?.[1];
  if (length !== undefined) {
    return received.length >= at + Number(length) ? { status, body: received.slice(at) } : undefined;
  }
  const isChunked = /\r\ntransfer-encoding: *chunked/i.test(received.slice(0, end));
  return isChunked && !received.endsWith('0\r\n\r\n') ? undefined : { status, body: received.slice(at) };
}

if (import.meta.main) console.log(JSON.stringify(await runLoad(JSON.parse(process.argv[2] ?? '{}'))));
