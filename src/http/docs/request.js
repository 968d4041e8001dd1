const TIMEOUT_MS = 60_000;

/** Where the API is: the folder that this page is in. */
export const base = () => new URL('.', location.href).href.slice(0, -1);

/**
 * A request, ready to be sent or shown. `values` maps the names of parameters to values; `body` is a text, or
 * undefined.
 */
export function requestOf(operation, { values, body }, token) {
  const path = operation.path.replace(/\{([^}]+)\}/g, (whole, name) =>
    values.has(name) ? encodeURIComponent(values.get(name)) : whole,
  );
  const query = new URLSearchParams();
  for (const { name, where } of operation.parameters) {
    if (where === 'query' && values.has(name)) query.append(name, values.get(name));
  }
  const headers = {};
  if (operation.secured && token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  return { method: operation.method, target: path + (query.size > 0 ? `?${query}` : ''), headers, body };
}

/** Sends it and reads the answer to its end. When there is none, the error says why. `ms` counts both. */
export async function send({ method, target, headers, body }) {
  const start = performance.now();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const options = { method, headers, body, signal, cache: 'no-store', credentials: 'omit' };
  const request = new Request(base() + target, options);
  const otherwise = (why) => (error) => {
    throw new Error(error.name === 'TimeoutError' ? `No answer within ${TIMEOUT_MS / 1000} seconds.` : why);
  };
  const unreachable = `No answer: the server at ${base()} cannot be reached. Is it still running?`;
  const response = await fetch(request).catch(otherwise(unreachable));
  const text = await response.text().catch(otherwise('The answer broke off.'));
  return {
    status: response.status,
    reason: response.statusText,
    headers: response.headers,
    text,
    json: parsed(response.headers.get('Content-Type') ?? '', text),
    redirectedTo: response.redirected ? new URL(response.url).pathname : undefined,
    ms: performance.now() - start,
  };
}

function parsed(type, text) {
  try {
    return /[/+]json\b/.test(type) ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}
