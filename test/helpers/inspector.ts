import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** Makes threads of a program do things that its code would not: Node's own inspector (`--inspect`). */
export interface Inspector {
  /** Runs `expression` in the thread of that name, and does not wait for it. */
  evaluate(thread: string, expression: string): Promise<void>;
  close(): void;
}

/** A port that nobody uses, for `--inspect=127.0.0.1:PORT`. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

/** Connects to the inspector of a program that listens at `port`. */
export async function openInspector(port: number): Promise<Inspector> {
  const [target] = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as { webSocketDebuggerUrl: string }[];
  const socket = new WebSocket(target!.webSocketDebuggerUrl);
  await once(socket, 'open');
  /** The newest session by the name of its thread. */
  const sessions = new Map<string, string>();
  let wake = (): void => {};
  let id = 0;
  socket.addEventListener('message', ({ data }) => {
    const { method, params } = JSON.parse(String(data));
    if (method !== 'NodeWorker.attachedToWorker') return;
    sessions.set(/ (\S+)$/.exec(params.workerInfo.title)?.[1] ?? params.workerInfo.title, params.sessionId);
    wake();
  });
  const call = (method: string, params: object): void => socket.send(JSON.stringify({ id: ++id, method, params }));
  call('NodeWorker.enable', { waitForDebuggerOnStart: false });

  return {
    async evaluate(thread, expression) {
      while (!sessions.has(thread)) await new Promise<void>((resolve) => (wake = resolve));
      const message = JSON.stringify({ id: ++id, method: 'Runtime.evaluate', params: { expression } });
      call('NodeWorker.sendMessageToWorker', { sessionId: sessions.get(thread), message });
    },
    close: () => socket.close(),
  };
}
