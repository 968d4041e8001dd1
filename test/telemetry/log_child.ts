/** A process that logs to its standard output; what it does is its first argument. It reports on standard error. */
import { writeSync } from 'node:fs';
import { createLog } from '../../src/telemetry/log.ts';
import { openSink } from '../../src/telemetry/sink.ts';

const log = createLog({ level: 'info', format: 'json', color: false, now: Date.now, sink: openSink(1) });
const report = (text: string): void => void writeSync(2, `${text}\n`);
const flood = (lines: number): void => {
  for (let i = 0; i < lines; i++) log.info('flood', { i, padding: 'é'.repeat(500) });
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

process.on('exit', () => log.flush());

const acts: Record<string, () => Promise<void> | void> = {
  /** Leaves with lines that no timer has written yet. */
  exit: () => {
    for (let i = 0; i < 3; i++) log.info('line', { i });
    process.exit(7);
  },
  crash: () => {
    log.info('before the crash');
    process.on('uncaughtExceptionMonitor', (error) => log.error('crashed', { error }));
    setImmediate(() => {
      throw new TypeError('boom');
    });
  },
  /** Goes on after its reader has gone. */
  closed: async () => {
    for (let i = 0; i < 50; i++) {
      flood(100);
      log.flush();
      await turn();
    }
    report('alive');
  },
  /** Writes far more than is read, waits for a line on standard input, and writes on. */
  stuck: async () => {
    flood(5_000);
    await turn();
    report('alive');
    await new Promise((resolve) => process.stdin.once('data', resolve));
    process.stdin.destroy();
    log.flush();
    log.info('after');
  },
  /** Leaves although nobody reads. */
  unread: () => {
    flood(5_000);
    report('leaving');
    process.exit(0);
  },
};

await acts[process.argv[2] ?? '']?.();
