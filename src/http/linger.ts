import type { Socket } from 'node:net';

const LINGER_MS = 1_000;

/**
 * Makes the end of a connection kind: closing while the client still sends would reset it, and the answer with it
 * (RFC 9112 §9.6). So the sending side is closed first, and what arrives is read and dropped for a moment.
 */
export function closeGently(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearTimeout(timer));
  };
}
