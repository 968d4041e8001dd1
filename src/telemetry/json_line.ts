import type { Level, Plain, RequestLine } from './fields.ts';

/**
 * What JSON lets stand but a terminal, a browser or a line-minded tool may obey: DEL and the C1 controls, the line and
 * paragraph separators, and the marks that turn the direction of text.
 */
const OBEYED = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const SPECIAL = /[\0-\x1f"\\\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/;

/** A character as `\uXXXX`. */
export const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A JSON text on one line in which nothing but spaces and printable characters stands. */
export const toJson = (value: Plain): string => JSON.stringify(value).replace(OBEYED, escaped);

/** `value` as a JSON string. Most need no more than the quotes, and this is on the way of every request. */
export const quoted = (value: string): string => (SPECIAL.test(value) ? toJson(value) : `"${value}"`);

/** What a line says of itself. A field that claims one of these names is written with a `_` behind it. */
const own = new Set(['time', 'level', 'msg', 'event']);

/** One log line as JSON, with its line feed. `time` is RFC 3339 in UTC. */
export function jsonLine(
  time: string, level: Level, msg: string, event: string | undefined, fields: [string, Plain][],
): string {
  let line = `{"time":"${time}","level":"${level}","msg":${quoted(msg)}`;
  if (event !== undefined) line += `,"event":${quoted(event)}`;
  for (const [name, value] of fields) line += `,${quoted(own.has(name) ? `${name}_` : name)}:${toJson(value)}`;
  return `${line}}\n`;
}

/** Milliseconds with three decimals, put together from whole numbers: printing a double costs six times as much. */
function millisecondText(ms: number): string {
  const microseconds = Math.round(ms * 1000);
  const fraction = microseconds % 1000;
  const point = fraction < 10 ? '.00' : fraction < 100 ? '.0' : '.';
  return `${(microseconds - fraction) / 1000}${point}${fraction}`;
}

/**
 * What writes one request as JSON, with its line feed. Every request pays for it, so what lines have in common is put
 * together once: what comes before the ids within a millisecond, and route, method and status, of which there are few.
 */
export function createRequestLines(): (time: string, level: Level, request: RequestLine) => string {
  let start = { time: '', level: '', text: '' };
  const middles = new Map<string, Map<string, string>>();

  function startOf(time: string, level: Level): string {
    if (time !== start.time || level !== start.level) {
      start = { time, level, text: `{"time":"${time}","level":"${level}","msg":"request","request_id":` };
    }
    return start.text;
  }

  function middleOf({ method, route, status }: RequestLine): string {
    let ofRoute = middles.get(route);
    if (ofRoute === undefined) middles.set(route, (ofRoute = new Map()));
    const outcome = method + status;
    let middle = ofRoute.get(outcome);
    if (middle === undefined) {
      middle = `,"method":${quoted(method)},"route":${quoted(route)},"status":${status},"duration_ms":`;
      ofRoute.set(outcome, middle);
    }
    return middle;
  }

  return (time, level, request) => {
    const { requestId, traceId, durationMs, ip, userId } = request;
    const trace = traceId === undefined ? '' : `,"trace_id":${quoted(traceId)}`;
    const user = userId === undefined ? '' : `,"user_id":${quoted(userId)}`;
    const head = `${startOf(time, level)}${quoted(requestId)}${trace}${middleOf(request)}`;
    return `${head}${millisecondText(durationMs)},"ip":${quoted(ip)}${user}}\n`;
  };
}
