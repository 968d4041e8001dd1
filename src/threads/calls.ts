import type { MessagePort } from 'node:worker_threads';

import { Failure, unavailable } from '../core/errors.ts';
import type { Code } from '../core/errors.ts';

/** What one thread does for another: each verb takes one argument that can be cloned. */
export type Verbs = Record<string, (argument: never) => unknown>;

/** The verbs of the other side, which has them under the same names. */
export interface Calls<Theirs extends Verbs> {
  tell<N extends keyof Theirs & string>(name: N, argument: Parameters<Theirs[N]>[0]): void;
  /** Its answer. What it throws arrives as the same `Failure`, or as an Error with the same message and code. */
  ask<N extends keyof Theirs & string>(
    name: N, argument: Parameters<Theirs[N]>[0], ports?: MessagePort[],
  ): Promise<Awaited<ReturnType<Theirs[N]>>>;
  /** Rejects what has not been answered: the other side is gone. */
  close(): void;
}

interface Fault {
  message: string;
  code: string | undefined;
  /** Of a `Failure`. */
  retryAfter: number | undefined;
  isFailure: boolean;
}

type Message =
  | { name: string; id: number | undefined; argument: unknown }
  | { answerTo: number; value: unknown }
  | { answerTo: number; fault: Fault };

/** Either end of what joins two threads. */
export interface Port extends Pick<MessagePort, 'postMessage'> {
  on(event: 'message', listener: (message: Message) => void): unknown;
}

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

export function openCalls<Theirs extends Verbs>(port: Port, ours: Verbs): Calls<Theirs> {
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let closed = false;

  async function serve(name: string, argument: unknown, id: number | undefined): Promise<void> {
    const verb = ours[name]! as (argument: unknown) => unknown;
    if (id === undefined) return void verb(argument);
    try {
      port.postMessage({ answerTo: id, value: await verb(argument) } satisfies Message);
    } catch (error) {
      port.postMessage({ answerTo: id, fault: toFault(error) } satisfies Message);
    }
  }

  port.on('message', (message) => {
    if ('name' in message) return void serve(message.name, message.argument, message.id);
    const asked = waiting.get(message.answerTo);
    waiting.delete(message.answerTo);
    if ('fault' in message) asked?.reject(toError(message.fault));
    else asked?.resolve(message.value as never);
  });

  return {
    tell: (name, argument) => port.postMessage({ name, id: undefined, argument } satisfies Message),

    ask: (name, argument, ports = []) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(unavailable());
        waiting.set(++lastId, { resolve, reject });
        port.postMessage({ name, id: lastId, argument } satisfies Message, ports);
      }),

    close() {
      closed = true;
      for (const { reject } of waiting.values()) reject(unavailable());
      waiting.clear();
    },
  };
}

export function toFault(error: unknown): Fault {
  const { message, code, details } = error as Failure;
  return { message, code, retryAfter: details?.retryAfter, isFailure: error instanceof Failure };
}

export function toError({ message, code, retryAfter, isFailure }: Fault): Error {
  if (!isFailure) return Object.assign(new Error(message), { code });
  return new Failure(code as Code, message, retryAfter === undefined ? {} : { retryAfter });
}
