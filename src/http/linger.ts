import type { Socket } from 'node:net';

const SILENCE_MS = 1_000;
const MOST_SILENCES = 30;

/**
 * Makes the end of a connection kind: closing while the client still sends would reset it, and the answer with it
 * (RFC 9112 §9.6). So the sending side is closed first, and what arrives is read and dropped until the client ends,
 * falls silent, or has gone on for half a minute.
 */
export function closeGently(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    socket.resume();
    let seen = socket.bytesRead;
    let left = MOST_SILENCES;
    const timer = setInterval(() => {
      if (socket.bytesRead === seen || --left === 0) socket.destroy();
      seen = socket.bytesRead;
    }, SILENCE_MS).unref();
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearInterval(timer));
  };
}
