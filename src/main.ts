import { existsSync, readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { version: VERSION } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

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

Ctrl-C and SIGTERM stop it when what is in flight has finished, a second one
at once. SIGUSR2 lowers LOG_LEVEL to debug, the next one raises it again.
`;

const OLDEST_NODE = [24, 15] as const;

/** Says what is wrong, one line each, and ends: nothing has been started yet. */
function giveUp(lines: readonly string[], exitCode = 1): never {
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(exitCode);
}

function readFlags() {
  try {
    return parseArgs({ options: FLAGS }).values;
  } catch (error) {
    return giveUp([(error as Error).message.split('. ')[0]!, 'See: node src/main.ts --help']);
  }
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  const oldest = OLDEST_NODE.join('.');
  giveUp([`Node ${oldest} or newer is needed and this is ${process.versions.node}: npx -y node@24 src/main.ts`]);
}
const flags = readFlags();
if (flags.help) {
  process.stdout.write(HELP);
} else if (flags.version) {
  process.stdout.write(`${VERSION}\n`);
} else {
  await serve();
}

async function serve(): Promise<void> {
  process.umask(0o077);
  // Compiled code is kept between starts, in a folder that nobody else can write. Bad settings do not make it.
  const cache = fileURLToPath(new URL('../.cache', import.meta.url));
  if (existsSync(cache)) enableCompileCache(cache);
  const { loadConfigFiles } = await import('./core/config.ts');
  const { rootOf, startFault } = await import('./core/start_fault.ts');
  const { checkDatabaseUrl, openDatabase, sqliteFile } = await import('./db/session.ts');
  const { toRedisTarget } = await import('./wire/redis_target.ts');
  const loaded = loadConfigFiles({
    env: process.env,
    envFile: flags['env-file'],
    flags: { HOST: flags.host, PORT: flags.port, WORKERS: flags.workers },
    readFile: (path) => readFileSync(path, 'utf8'),
    checks: { DATABASE_URL: checkDatabaseUrl, REDIS_URL: toRedisTarget },
  });
  if ('faults' in loaded) return giveUp(loaded.faults);
  const { config } = loaded;
  enableCompileCache(cache);

  const { createLog } = await import('./telemetry/log.ts');
  const { openSink } = await import('./telemetry/sink.ts');
  const { createApp } = await import('./app.ts');
  const { signingKeys } = await import('./db/key_file.ts');
  const { announce } = await import('./telemetry/banner.ts');

  const pretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && isatty(1));
  const color = pretty && isatty(1) && !process.env['NO_COLOR'];
  const sink = openSink(1);
  const log = createLog({
    level: config.logLevel,
    format: pretty ? 'pretty' : 'json',
    color,
    now: Date.now,
    sink,
  });
  process.on('exit', () => log.close());
  process.on('uncaughtException', (error) => {
    log.error('The server ends: something was thrown that nobody caught.', { error });
    process.exit(1);
  });

  let end: (() => Promise<void>) | undefined;
  let stopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info('stopping', { signal });
    await end?.();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGUSR2', () => {
    log.level = log.level === 'debug' ? config.logLevel : 'debug';
    log.announce('log level', { lowest: log.level });
  });

  const [seconds, nanoseconds] = process.hrtime();
  const monotonic = (): number => {
    const [s, ns] = process.hrtime();
    return (s - seconds) * 1e9 + (ns - nanoseconds);
  };

  try {
    const { keys, warning } = signingKeys(config);
    const onWait = (error: unknown): void =>
      log.warn('The database is away; the server starts when it answers.', { reason: rootOf(error) });
    const db = await openDatabase(config, { monotonic, onWait });
    const { openRedisBuckets } = config.redisUrl === undefined ? {} : await import('./wire/redis_buckets.ts');
    const sharedBuckets = await openRedisBuckets?.(config.redisUrl!, monotonic);
    const own = { version: VERSION, now: Date.now, monotonic, figures: process };
    const application = createApp({ ...own, config, keys, db, sharedBuckets, log });
    const { migrated, madeAdmin, limiterFault } = await application.prepare();
    const port = await application.server.listen(config);
    application.work();
    end = application.stop;

    const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    const started = {
      version: VERSION,
      url,
      docs: config.docsEnabled ? `${url}/docs` : undefined,
      environment: config.environment,
      database: db.kind,
      databaseFile: sqliteFile(config.databaseUrl),
      limitStore: config.redisUrl === undefined ? 'memory' : 'redis',
      workers: config.workers,
      limits: { request: config.rateLimitDefault, login: config.rateLimitLogin },
    } as const;
    announce(started, { pretty, color }, log, sink.write);
    for (const text of [...loaded.warnings, warning, limiterFault]) if (text !== undefined) log.warn(text);
    for (const { version, name } of migrated) log.info('migrated', { version, name });
    if (madeAdmin) log.event('admin.first_created', { email: config.firstAdminEmail });
    log.flush();
  } catch (error) {
    giveUp([startFault(error, config)]);
  }
}
