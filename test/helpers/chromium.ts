import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 100_000;
const CALL_MS = 100_000;
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--hide-scrollbars',
  '--remote-debugging-port=0',
];

/** The `chromium` of Debian's package, or undefined where it is not installed. */
export function findChromium(): string | undefined {
  return (process.env['PATH'] ?? '').split(':').map((folder) => join(folder, 'chromium')).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a page is looked at with. */
export interface Look {
  /** CSS pixels. */
  width: number;
  height: number;
  scheme?: 'light' | 'dark';
  /** As on paper. */
  print?: boolean;
}

export interface Page {
  /** Exceptions, console errors and policy violations since the page was opened; a refused request is none. */
  readonly errors: string[];
  /** Every URL that was asked for. */
  readonly requests: string[];
  look(look: Look): Promise<void>;
  /** Returns after the `load` event. */
  goto(url: string): Promise<void>;
  /** The value of an expression; a promise is awaited, an exception thrown. */
  evaluate<T = unknown>(expression: string): Promise<T>;
  /** Returns once the expression is truthy. */
  until(expression: string): Promise<void>;
  /** A key of the keyboard by its `KeyboardEvent.key`. */
  press(key: string): Promise<void>;
  /** Types into whatever has the focus. */
  type(text: string): Promise<void>;
  /** Gives the page a processor so many times slower. */
  slowDown(factor: number): Promise<void>;
  /** Lets requests for these URLs fail (`*` is a wildcard). */
  block(urls: string[]): Promise<void>;
  /** A PNG of the whole page, or of what is in view. */
  screenshot(path: string, options?: { whole: boolean }): Promise<void>;
  close(): Promise<void>;
}

export interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

type Parameters = Record<string, unknown>;
type Listener = (method: string, params: any) => void;
type Send = (method: string, params?: Parameters) => Promise<any>;

/** Starts a browser with a profile of its own, which is gone after `close`. */
export async function openBrowser(path: string): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'chromium-'));
  const child = spawn(path, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const socket = new WebSocket(await addressFrom(child.stderr));
  await once(socket, 'open', { signal: AbortSignal.timeout(START_MS) });
  const connection = createConnection(socket);

  return {
    async newPage() {
      const { targetId } = await connection.send('', 'Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await connection.send('', 'Target.attachToTarget', { targetId, flatten: true });
      const send: Send = (method, params) => connection.send(sessionId, method, params);
      return createPage(send, (listener) => connection.listeners.set(sessionId, listener));
    },
    async close() {
      const gone = once(child, 'exit');
      connection.send('', 'Browser.close').catch(() => {});
      const late = setTimeout(() => child.kill('SIGKILL'), 5000);
      await gone;
      clearTimeout(late);
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

async function addressFrom(stderr: NodeJS.ReadableStream): Promise<string> {
  const said: string[] = [];
  const signal = AbortSignal.timeout(START_MS);
  for await (const line of createInterface({ input: stderr, signal })) {
    const address = /^DevTools listening on (ws:.*)$/.exec(line)?.[1];
    if (address !== undefined) {
      stderr.resume();
      return address;
    }
    said.push(line);
  }
  throw new Error(`Chromium did not start: ${said.slice(-5).join(' | ')}`);
}

/** Commands and events of the DevTools protocol over one socket, for many sessions. */
function createConnection(socket: WebSocket) {
  const waiting = new Map<number, PromiseWithResolvers<any>>();
  const listeners = new Map<string, Listener>();
  let lastId = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(String(data));
    if (id === undefined) return listeners.get(sessionId)?.(method, params);
    if (error === undefined) waiting.get(id)?.resolve(result);
    else waiting.get(id)?.reject(new Error(error.message));
    waiting.delete(id);
  });
  async function send(sessionId: string, method: string, params: Parameters = {}): Promise<any> {
    const id = ++lastId;
    const answer = Promise.withResolvers<any>();
    waiting.set(id, answer);
    socket.send(JSON.stringify({ id, method, params, ...(sessionId === '' ? {} : { sessionId }) }));
    const late = setTimeout(() => answer.reject(new Error(`${method}: no answer`)), CALL_MS);
    return answer.promise.finally(() => clearTimeout(late));
  }
  return { send, listeners };
}

const KEYS: Readonly<Record<string, Parameters>> = {
  Tab: { code: 'Tab', windowsVirtualKeyCode: 9 },
  Enter: { code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' },
  Escape: { code: 'Escape', windowsVirtualKeyCode: 27 },
  ' ': { code: 'Space', windowsVirtualKeyCode: 32, text: ' ' },
};

async function createPage(send: Send, listen: (listener: Listener) => void): Promise<Page> {
  const errors: string[] = [];
  const requests: string[] = [];
  let loaded = Promise.withResolvers<void>();
  listen((method, params) => {
    if (method === 'Page.loadEventFired') loaded.resolve();
    if (method === 'Network.requestWillBeSent') requests.push(params.request.url);
    if (method === 'Runtime.exceptionThrown') errors.push(JSON.stringify(params.exceptionDetails));
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') errors.push(JSON.stringify(params.args));
    const entry = method === 'Log.entryAdded' ? params.entry : undefined;
    if (entry?.level === 'error' && entry.source !== 'network') errors.push(`${entry.source}: ${entry.text}`);
  });
  for (const domain of ['Page', 'Network', 'Runtime', 'Log']) await send(`${domain}.enable`);

  async function evaluate<T>(expression: string): Promise<T> {
    const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await send('Runtime.evaluate', options);
    if (exceptionDetails !== undefined) {
      throw new Error(`${exceptionDetails.exception?.description ?? exceptionDetails.text}\nin ${expression}`);
    }
    return result.value;
  }

  return {
    errors,
    requests,
    evaluate,
    async look({ width, height, scheme = 'light', print = false }) {
      await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
      const features = [{ name: 'prefers-color-scheme', value: scheme }];
      await send('Emulation.setEmulatedMedia', { media: print ? 'print' : '', features });
    },
    async goto(url) {
      loaded = Promise.withResolvers();
      const { errorText } = await send('Page.navigate', { url });
      if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
      await loaded.promise;
    },
    async until(expression) {
      const signal = AbortSignal.timeout(CALL_MS);
      while (!(await evaluate(expression))) {
        if (signal.aborted) throw new Error(`Never true: ${expression}`);
        await sleep(20);
      }
    },
    async press(key) {
      const event = { key, ...(KEYS[key] ?? { text: key }) };
      await send('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', ...event, text: undefined });
    },
    type: (text) => send('Input.insertText', { text }),
    slowDown: (factor) => send('Emulation.setCPUThrottlingRate', { rate: factor }),
    block: (urls) => send('Network.setBlockedURLs', { urls }),
    async screenshot(path, { whole } = { whole: false }) {
      const { data } = await send('Page.captureScreenshot', { captureBeyondViewport: whole });
      await writeFile(path, Buffer.from(data, 'base64'));
    },
    async close() {
      await send('Page.close');
    },
  };
}
