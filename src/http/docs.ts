import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** What the page is made of, each script after those that it needs. */
const SCRIPTS = [
  'dom', 'document', 'words', 'check', 'request', 'snippets', 'session', 'answer', 'field', 'form', 'shape',
  'workbench', 'operation', 'account', 'page',
];

/** What is known of the API before its description is asked for, so that nothing has to make room for it later. */
export interface DocsInfo {
  title: string;
  version: string;
  /** Paragraphs, with `code` in backticks. */
  description: string;
}

export interface Docs {
  html: string;
  contentSecurityPolicy: string;
}

const read = (name: string): string => readFileSync(new URL(`./docs/${name}`, import.meta.url), 'utf8');

/** Without comments and indentation, which nobody needs to download. */
const lean = (source: string): string =>
  source
    .replace(/^ *(\/\*[^]*?\*\/|\/\/.*)$/gm, '')
    .replace(/^\s+/gm, '')
    .replace(/([;{,])\n/g, '$1');

/** The scripts share one module on the page, so they need not tell each other what they import and export. */
const inlined = (source: string): string =>
  lean(source.replace(/^import .*$/gm, '').replace(/^export /gm, ''))
    .replace(/([([=>?:&|])\n/g, '$1')
    .replace(/\n([)\]}.?:&|])/g, '$1');

const escaped = (text: string): string => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);

const paragraphs = (text: string): string =>
  escaped(text)
    .split(/\n\s*\n/)
    .map((part) => `<p>${part.replace(/`([^`]*)`/g, '<code>$1</code>')}</p>`)
    .join('');

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/**
 * The page at `/docs`: one file that asks nobody but this server, and the policy (CSP level 3) that holds it to that.
 * Reads the files of `docs/`, so it is called on first use.
 */
export function createDocs({ title, version, description }: DocsInfo): Docs {
  const style = lean(read('style.css')).replace(/\s*([{}:;,])\s*/g, '$1').replaceAll(';}', '}');
  const script = SCRIPTS.map((name) => inlined(read(`${name}.js`))).join('');
  const parts: Readonly<Record<string, string>> = {
    title: escaped(title),
    version: escaped(version),
    description: paragraphs(description),
    style,
    script,
  };
  const html = lean(read('page.html')).replace(/\{\{(\w+)\}\}/g, (_, name: string) => parts[name]!);
  const contentSecurityPolicy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, contentSecurityPolicy };
}
