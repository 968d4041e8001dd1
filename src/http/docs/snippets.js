const quoteForShell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON's escapes are Python's and JavaScript's too. */
const quote = (value) => JSON.stringify(value);

function curl({ method, url, headers, body }) {
  const parts = [`curl -X ${method} ${quoteForShell(url)}`];
  if (method === 'HEAD') parts[0] = `curl --head ${quoteForShell(url)}`;
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quoteForShell(`${name}: ${value}`)}`);
  if (body !== undefined) parts.push(`--data-raw ${quoteForShell(body)}`);
  return parts.join(' \\\n  ');
}

function javascript({ method, url, headers, body }) {
  const value = bodyValue(body);
  const lines = [`const answer = await fetch(${quote(url)}, {`, `  method: ${quote(method)},`];
  lines.push(`  headers: ${quote(headers)},`);
  if (value !== undefined) lines.push(`  body: JSON.stringify(${quote(value)}),`);
  else if (body !== undefined) lines.push(`  body: ${quote(body)},`);
  return [...lines, '});', 'console.log(answer.status, await answer.text());'].join('\n');
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

/** What the body says, or undefined when it is no JSON, or more than its value matters (1.0, a very large number). */
function bodyValue(body) {
  try {
    const value = JSON.parse(body);
    return [quote(value), JSON.stringify(value, null, 2)].includes(body) ? value : undefined;
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
