import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

/** One answer as it stood on the wire. */
export interface RawAnswer {
  status: number;
  /** By lower-case name; a repeated field's values are joined by `, `. */
  headers: Record<string, string>;
  body: string;
  /** The body as JSON; undefined when it is not JSON. */
  json: any;
}

/** A connection on which exactly the bytes that a test says are sent. */
export interface RawConnection {
  socket: Socket;
  write(bytes: string | Buffer): void;
  /** The next answer; rejects when the connection ends before it is whole. */
  answer(options?: { toHead?: boolean }): Promise<RawAnswer>;
  /** How the server ended the connection; what of it was not taken by `answer` is in `rest`. */
  closed: Promise<'end' | 'reset'>;
  rest(): string;
  close(): void;
}

const DEADLINE_MS = 60_000;

export function openRaw(port: number, host = '127.0.0.1'): RawConnection {
  // Half-open: the server's end of sending must not end ours, or a reset that follows would go unseen.
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true });
  let received = Buffer.alloc(0);
  let over: 'end' | 'reset' | undefined;
  let wake = (): void => {};
  const closed = new Promise<'end' | 'reset'>((resolve) => {
    const end = (how: 'end' | 'reset') => () => {
      over ??= how;
      resolve(over);
      wake();
    };
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      wake();
    });
    socket.on('error', end('reset'));
    socket.on('end', end('end'));
    socket.on('close', end('reset'));
  });

  async function answer({ toHead = false } = {}): Promise<RawAnswer> {
    const deadline = setTimeout(() => socket.destroy(new Error('no answer in time')), DEADLINE_MS);
    try {
      for (;;) {
        const found = takeAnswer(received, toHead, over !== undefined);
        if (found !== undefined) {
          received = received.subarray(found.length);
          return found.answer;
        }
        if (over !== undefined) throw new Error(`connection closed (${over}) after: ${received.toString('latin1')}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    answer,
    closed,
    rest: () => received.toString('latin1'),
    close: () => socket.destroy(),
  };
}

/** The answer at the start of `bytes`, and how many of them it takes; undefined when it is not whole. */
function takeAnswer(bytes: Buffer, toHead: boolean, ended: boolean): { answer: RawAnswer; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [start = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) \S/.exec(start)?.[1]);
  assert.ok(status, `not a status line: ${start}`);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(': ');
    assert.ok(colon > 0, `not a header line: ${line}`);
    const name = line.slice(0, colon).toLowerCase();
    headers[name] = headers[name] === undefined ? line.slice(colon + 2) : `${headers[name]}, ${line.slice(colon + 2)}`;
  }
  const bodyStart = headEnd + 4;
  let bodyEnd = bodyStart;
  if (!toHead && status >= 200 && status !== 204 && status !== 304) {
    const declared = headers['content-length'];
    if (declared === undefined && !ended) return undefined;
    bodyEnd = declared === undefined ? bytes.length : bodyStart + Number(declared);
  }
  if (bytes.length < bodyEnd) return undefined;
  const body = bytes.subarray(bodyStart, bodyEnd).toString();
  return { answer: { status, headers, body, json: toJson(body) }, length: bodyEnd };
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Sends the bytes on a connection of their own and takes the first answer; the connection is closed then. */
export async function sendRaw(port: number, bytes: string | Buffer, options?: { toHead?: boolean }): Promise<RawAnswer> {
  const connection = openRaw(port);
  connection.write(bytes);
  try {
    return await connection.answer(options);
  } finally {
    connection.close();
  }
}

/** Fails unless the answer is a refusal in the one form that all refusals have. */
export function assertProblem(answer: RawAnswer, status: number, code: string, what = ''): void {
  const { headers, json, body } = answer;
  const seen = `${what} ${answer.status} ${body}`;
  assert.equal(answer.status, status, seen);
  assert.equal(headers['content-type'], 'application/problem+json', seen);
  assert.equal(headers['x-content-type-options'], 'nosniff', seen);
  assert.ok(headers['date'], seen);
  assert.match(headers['x-request-id'] ?? '', /^[A-Za-z0-9._-]{1,64}$/, seen);
  for (const name of ['server', 'x-powered-by']) assert.equal(headers[name], undefined, seen);
  assert.equal(json?.code, code, seen);
  assert.equal(json.status, status, seen);
  assert.equal(json.request_id, headers['x-request-id'], seen);
  for (const name of ['type', 'title', 'detail']) assert.equal(typeof json[name], 'string', seen);
}

/** The text of a request: start line, header fields, body as it is. Without a `Host` among the fields, one is added. */
export function rawRequest(start: string, fields: readonly string[] = [], body = ''): string {
  const hosts = fields.some((field) => /^host[ :]/i.test(field)) ? [] : ['Host: localhost'];
  return `${[`${start} HTTP/1.1`, ...hosts, ...fields].join('\r\n')}\r\n\r\n${body}`;
}

/** A request with a JSON body whose length it declares. */
export const rawPost = (path: string, body: string, fields: readonly string[] = []): string =>
  rawRequest(`POST ${path}`, [...JSON_FIELDS, `Content-Length: ${Buffer.byteLength(body)}`, ...fields], body);

/** A request with a JSON body in the chunks that are given, as they stand. */
export const rawChunked = (path: string, chunks: string, fields: readonly string[] = []): string =>
  rawRequest(`POST ${path}`, [...JSON_FIELDS, 'Transfer-Encoding: chunked', ...fields], chunks);

const JSON_FIELDS = ['Content-Type: application/json'];
