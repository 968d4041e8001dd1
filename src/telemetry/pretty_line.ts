import type { Level, Plain, RequestLine } from './fields.ts';
import { quoted, toJson } from './json_line.ts';

/** SGR parameters (ECMA-48 §8.3.117). */
const levelColors: Record<Level, number> = { debug: 90, info: 32, warn: 33, error: 31 };
const DIM = 90;

const statusColor = (status: number): number => (status >= 500 ? 31 : status >= 400 ? 33 : status >= 300 ? 36 : 32);

const paint = (text: string, sgr: number, color: boolean): string => (color ? `\x1b[${sgr}m${text}\x1b[0m` : text);

/** Text that cannot steer a terminal: quotes stay as they are, everything else is escaped as in JSON. */
const printable = (text: string): string => quoted(text).slice(1, -1).replaceAll('\\"', '"').replaceAll('\\\\', '\\');

const BARE = /^[\w.:/@+{}-]+$/;
const valueText = (value: Plain): string => (typeof value === 'string' && BARE.test(value) ? value : toJson(value));

/** `12:34:56.789 INFO ` of `2026-01-02T12:34:56.789Z`. */
const head = (time: string, level: Level, color: boolean): string =>
  `${paint(time.slice(11, 23), DIM, color)} ${paint(level.toUpperCase().padEnd(5), levelColors[level], color)} `;

/** An error under its line: its name and message, then its frames, then its causes, each indented. */
function errorText(error: { [name: string]: Plain }, color: boolean, lead = ''): string {
  const { name, message, stack, cause, ...rest } = error;
  let text = `\n    ${lead}${printable(`${String(name)}: ${String(message)}`)}`;
  for (const [key, value] of Object.entries(rest)) text += ` ${printable(key)}=${valueText(value)}`;
  if (typeof stack === 'string') {
    for (const frame of stack.split('\n')) text += `\n      ${paint(printable(frame), DIM, color)}`;
  }
  if (cause === undefined) return text;
  return isError(cause) ? text + errorText(cause, color, 'caused by ') : `${text}\n    caused by ${valueText(cause)}`;
}

function isError(value: Plain): value is { [name: string]: Plain } {
  return value !== null && typeof value === 'object' && 'name' in value && 'message' in value;
}

/** One log line for people, with its line feed; a text's further lines and an error among the fields are indented. */
export function prettyLine(
  time: string, level: Level, msg: string, event: string | undefined, fields: [string, Plain][], color: boolean,
): string {
  let line = head(time, level, color) + msg.split('\n').map(printable).join('\n    ');
  if (event !== undefined && event !== msg) line += ` ${paint('event=', DIM, color)}${printable(event)}`;
  let errors = '';
  for (const [name, value] of fields) {
    if (isError(value)) errors += errorText(value, color);
    else line += ` ${paint(`${printable(name)}=`, DIM, color)}${valueText(value)}`;
  }
  return `${line}${errors}\n`;
}

/**
 * One request for people, in 100 columns for any usual route:
 * `12:34:56.789 INFO  GET    200     1.23 ms /api/v1/users/{id} 127.0.0.1 user …9f3a21bc`.
 * The request's id is there when the answer carried it to somebody who may ask about it: on a 5xx.
 */
export function prettyRequest(time: string, level: Level, request: RequestLine, color: boolean): string {
  const { status, durationMs, requestId, userId } = request;
  const method = printable(request.method).padEnd(6);
  const duration = `${durationMs.toFixed(durationMs < 100 ? 2 : 0)} ms`.padStart(10);
  const route = request.route === '' ? '-' : printable(request.route);
  let line = `${head(time, level, color)}${method} ${paint(String(status), statusColor(status), color)} `;
  line += `${duration} ${route}`;
  line += paint(` ${printable(request.ip)}`, DIM, color);
  if (userId !== undefined) line += paint(` user …${printable(userId.slice(-8))}`, DIM, color);
  if (status >= 500) line += paint(` request_id=${printable(requestId)}`, DIM, color);
  return `${line}\n`;
}
