import type { Source } from './facts.ts';

/** A way out of the process, and the setting without which it is not taken. */
export interface Connection {
  file: string;
  to: string;
  setting: string;
}

/** Every file of src/ that can reach out. One that is missing here, or that no longer reaches out, fails the audit. */
export const connections: readonly Connection[] = [
  { file: 'wire/redis.ts', to: 'the Redis server of the rate limiter', setting: 'REDIS_URL' },
  { file: 'wire/postgres_startup.ts', to: 'the PostgreSQL server', setting: 'DATABASE_URL' },
  { file: 'wire/smtp_channel.ts', to: 'the mail server', setting: 'MAIL_URL' },
  { file: 'telemetry/otlp.ts', to: 'the OpenTelemetry collector', setting: 'OTEL_EXPORTER_OTLP_ENDPOINT' },
  { file: 'telemetry/sink.ts', to: 'standard output when it is a pipe: no address is dialled', setting: 'none' },
];

/** What these modules export that opens no connection; anything else that is imported from them counts as a way out. */
const harmless: Record<string, RegExp> = {
  'node:net': /^(isIP|isIPv4|isIPv6|BlockList|SocketAddress|Server|createServer)$/,
  'node:http': /^(STATUS_CODES|METHODS|Server|createServer|IncomingMessage|ServerResponse)$/,
  'node:https': /^(Server|createServer)$/,
  'node:http2': /^(constants)$/,
  'node:tls': /^(checkServerIdentity|rootCertificates|getCACertificates)$/,
  'node:dns': /^$/,
  'node:dns/promises': /^$/,
  'node:dgram': /^$/,
  'node:child_process': /^$/,
  'node:cluster': /^$/,
  'node:inspector': /^$/,
  'node:inspector/promises': /^$/,
};
const globals = /^(fetch|WebSocket|EventSource)$/;

/** What a file uses to reach out: `node:net Socket`, `fetch`. */
export function waysOut({ imports, code }: Source): string[] {
  const imported = imports.flatMap(({ specifier, kind, names }) => {
    const known = specifier === undefined || kind === 'type' ? undefined : harmless[specifier];
    return known === undefined ? [] : names.filter((name) => !known.test(name)).map((name) => `${specifier} ${name}`);
  });
  const mentioned = code.filter(({ kind, text }, i) => {
    const isProperty = code[i - 1]?.text === '.' && code[i - 2]?.text !== 'globalThis';
    return kind === 'name' && globals.test(text) && !isProperty && code[i + 1]?.text !== ':';
  });
  return [...new Set([...imported, ...mentioned.map(({ text }) => text)])];
}

/** What the table and the code do not agree on, as sentences; `settings` are the names of all there are. */
export function connectionFaults(
  sources: readonly Source[],
  settings: ReadonlySet<string>,
  table: readonly Connection[] = connections,
): string[] {
  const present = table.filter((entry) => sources.some(({ file }) => file === entry.file));
  const listed = new Set(table.map(({ file }) => file));
  const reaching = sources.filter((source) => waysOut(source).length > 0);
  const unlisted = reaching.filter(({ file }) => !listed.has(file));
  const inward = new Set(sources.filter((source) => !reaching.includes(source)).map(({ file }) => file));
  const stale = present.filter(({ file }) => inward.has(file));
  const unknown = present.filter(({ setting }) => setting !== 'none' && !settings.has(setting));
  return [
    ...unlisted.map((source) => `${source.file} uses ${waysOut(source).join(', ')} and is not in the table`),
    ...stale.map(({ file }) => `${file} is in the table and opens nothing`),
    ...unknown.map(({ file, setting }) => `${file}: there is no setting ${setting}`),
  ];
}
