const quoteForShell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON's escapes are Python's and JavaScript's too. */
const quote = (text) => JSON.stringify(text);

function curl({ method, url, headers, body }) {
  const parts = [`curl -X ${method} ${quoteForShell(url)}`];
  if (method === 'HEAD') parts[0] = `curl --head ${quoteForShell(url)}`;
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quoteForShell(`${name}: ${value}`)}`);
  if (body !== undefined) parts.push(`--data-raw ${quoteForShell(body)}`);
  return parts.join(' \\\n  ');
}

function javascript({ method, url, headers, body }) {
  const value = JSON.stringify(bodyValue(body));
  const options = JSON.stringify({ method, headers, body }, null, 2);
  const shown = value ? options.replace(/"body": .*/, () => `"body": JSON.stringify(${value})`) : options;
  return `const answer = await fetch(${quote(url)}, ${shown});\nconsole.log(answer.status, await answer.text());`;
}

function python({ method, url, headers, body }) {
  const value = bodyValue(body);
  const lines = [`    ${quote(url)},`, `    method=${quote(method)},`, `    headers=${pythonLiteral(headers)},`];
  if (value !== undefined) lines.push(`    data=json.dumps(${pythonLiteral(value)}).encode(),`);
  else if (body !== undefined) lines.push(`    data=${quote(body)}.encode(),`);
  return [
    'import json',
    'import urllib.error',
    'import urllib.request',
    '',
    'request = urllib.request.Request(',
    ...lines,
    ')',
    'try:',
    '    answer = urllib.request.urlopen(request)',
    'except urllib.error.HTTPError as refusal:',
    '    answer = refusal',
    'print(answer.status, answer.read().decode())',
  ].join('\n');
}

/** What the body says, or undefined when it is no JSON. */
function bodyValue(body) {
  try {
    return body === undefined ? undefined : JSON.parse(body);
  } catch {
    return undefined;
  }
}

function pythonLiteral(value) {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, item]) => `${quote(name)}: ${pythonLiteral(item)}`).join(', ')}}`;
}

/** A request as a program, by the name of its language. `url` is absolute. */
export const snippets = { curl, fetch: javascript, Python: python };
