import { fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** Where finished lines go. */
export interface Sink {
  /**
   * Takes whole lines, in UTF-8, and never waits; what they lie in may be used again afterwards. False: too much is
   * waiting already, and nothing of `lines` was taken.
   */
  write(lines: Uint8Array): boolean;
  /** Writes what is waiting before it returns, for exit and crash; gives up after half a second without progress. */
  flushSync(): void;
}

/** Bytes that may wait for a reader which is not reading. */
const MAX_WAITING = 1024 * 1024;
const FIRST_RETRY_MS = 10;
const LAST_RETRY_MS = 250;
const PATIENCE_MS = 500;

/** Nobody will ever read this descriptor again. Any other fault (EAGAIN, a full disk) is tried again. */
const gone = new Set(['EPIPE', 'EBADF', 'ECONNRESET', 'ENOTCONN']);

const streams: Socket[] = [];

/** Opening a stream is the one way Node has to set O_NONBLOCK. Kept: collected, it would close the descriptor. */
function makeNonBlocking(fd: number): void {
  const stream = new Socket({ fd, readable: false, writable: true });
  stream.unref();
  streams.push(stream);
}

const codeOf = (error: unknown): string => String((error as { code?: unknown }).code);

/**
 * Writes to a descriptor that somebody else opened: a file, a pipe, a terminal, `/dev/null`, a journal's socket.
 *
 * Each write is one `write(2)` on this thread. Handing it to Node's thread pool would queue it behind password hashes,
 * leave it half done at a crash, and let one stuck reader hold a thread and block `process.exit` for good. So pipes
 * and sockets are made non-blocking, as `process.stdout` does, and what they do not take waits here. Once the reader
 * is gone everything is taken and thrown away: a server does not stop because nobody reads its log.
 */
export function openSink(fd: number): Sink {
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isSocket()) makeNonBlocking(fd);
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let retry: NodeJS.Timeout | undefined;
  let retryMs = FIRST_RETRY_MS;
  let broken = false;

  /** Bytes of it that go at once. */
  function put(lines: Uint8Array): number {
    try {
      return writeSync(fd, lines);
    } catch (error) {
      broken = gone.has(codeOf(error));
      return 0;
    }
  }

  /** Writes as much as goes at once. False: something is left. */
  function drain(): boolean {
    while (waiting.length > 0) {
      const chunk = waiting[0]!;
      const written = put(chunk);
      waitingBytes -= written;
      if (written < chunk.length) waiting[0] = chunk.subarray(written);
      else waiting.shift();
      if (broken) waiting = [];
      else if (written === 0) return false;
    }
    return true;
  }

  function later(): void {
    retry = setTimeout(() => {
      retry = undefined;
      const before = waitingBytes;
      if (drain()) retryMs = FIRST_RETRY_MS;
      else {
        retryMs = waitingBytes < before ? FIRST_RETRY_MS : Math.min(retryMs * 2, LAST_RETRY_MS);
        later();
      }
    }, retryMs).unref();
  }

  return {
    write(lines) {
      if (broken) return true;
      if (waitingBytes >= MAX_WAITING) return false;
      const written = waiting.length === 0 ? put(lines) : 0;
      if (written === lines.length || broken) return true;
      waiting.push(new Uint8Array(lines.subarray(written)));
      waitingBytes += lines.length - written;
      if (retry === undefined && !drain()) later();
      return true;
    },

    flushSync() {
      const asleep = new Int32Array(new SharedArrayBuffer(4));
      const napMs = 5;
      for (let idleMs = 0; idleMs < PATIENCE_MS;) {
        const before = waitingBytes;
        if (drain()) return;
        idleMs = waitingBytes < before ? 0 : idleMs + napMs;
        Atomics.wait(asleep, 0, 0, napMs);
      }
    },
  };
}
