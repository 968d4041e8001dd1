import { readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { parseArgs } from 'node:util';
import { isMainThread } from 'node:worker_threads';

import { loadConfigFiles } from './core/load_config.ts';
import { settingChecks } from './wire/setting_checks.ts';

const FLAGS = {
  host: { type: 'string' },
  port: { type: 'string' },
  workers: { type: 'string' },
  'env-file': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

const HELP = `bare-api: an HTTP API server with accounts

Usage: node src/main.ts [options]

  --host ADDRESS    address to listen on            HOST, 127.0.0.1
  --port PORT       port, 0 for any free one        PORT, 8000
  --workers N       threads, 0 for one per core     WORKERS, 1
  --env-file FILE   settings, one NAME=value a line, instead of .env
  -h, --help        this text
  -v, --version     the version

Every setting is an environment variable or a line of .env; a flag goes over
both. .env.example lists them all, with what they accept and their defaults.

  node src/main.ts --port 0                         on any free port
  DATABASE_URL=sqlite::memory: node src/main.ts     keeps nothing

Ctrl-C, SIGTERM and the end of its terminal stop it when what is in flight has
finished, a second Ctrl-C or SIGTERM at once. SIGUSR2 lowers LOG_LEVEL to debug,
the next one raises it again.
`;

export interface StartOptions {
  /** The module that the process began with; so does each further thread that serves. */
  entry: URL;
  /** The folder for compiled code; bad settings do not make it. */
  cache: string;
}

/** Does what the command line and the settings ask for; in a further thread, what the first one has found out. */
export async function start({ entry, cache }: StartOptions): Promise<void> {
  if (!isMainThread) return (await import('./serve.ts')).serveBesideOthers();
  process.umask(0o077);
  const version: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
  const flags = readFlags();
  if (flags.help || flags.version) process.stdout.on('error', () => process.exit(1)); // Whoever read it has gone.
  if (flags.help) return void process.stdout.write(HELP);
  if (flags.version) return void process.stdout.write(`${version}\n`);
  const loaded = loadConfigFiles({
    env: process.env,
    envFile: flags['env-file'],
    flags: { HOST: flags.host, PORT: flags.port, WORKERS: flags.workers },
    readFile: (path) => readFileSync(path, 'utf8'),
    checks: settingChecks,
  });
  if ('faults' in loaded) return giveUp(loaded.faults);
  enableCompileCache(cache);
  const { serve } = await import('./serve.ts');
  const fault = await serve({ ...loaded, version, entry });
  if (fault !== undefined) giveUp([fault]);
}

function readFlags() {
  try {
    return parseArgs({ options: FLAGS }).values;
  } catch (error) {
    return giveUp([(error as Error).message.split('. ')[0]!, 'See: node src/main.ts --help']);
  }
}

/** Says what is wrong, one line each, and ends. */
function giveUp(lines: readonly string[]): never {
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(1);
}
