import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** What the page is made of, each script after those that it needs. */
const SCRIPTS = [
  'dom', 'document', 'words', 'check', 'request', 'snippets', 'session', 'answer', 'field', 'form', 'shape',
  'workbench', 'operation', 'account', 'page',
];

export interface Docs {
  html: string;
  contentSecurityPolicy: string;
}

const read = (name: string): string => readFileSync(new URL(`./docs/${name}`, import.meta.url), 'utf8');

/** Without comments and indentation, which nobody needs to download. */
const lean = (source: string): string =>
  source
    .replace(/^ *\/\*[^]*?\*\/$/gm, '')
    .replace(/^\s+/gm, '')
    .replace(/([;{,])\n/g, '$1');

/** The scripts share one module on the page, so they need not tell each other what they import and export. */
const inlined = (source: string): string => lean(source.replace(/^import .*$/gm, '').replace(/^export /gm, ''));

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/**
 * The page at `/docs`: one file that asks nobody but this server, and the policy (CSP level 3) that holds it to that.
 * Reads the files of `docs/`, so it is called on first use.
 */
export function createDocs(): Docs {
  const style = lean(read('style.css')).replace(/\s*([{}:;,])\s*/g, '$1');
  const script = SCRIPTS.map((name) => inlined(read(`${name}.js`))).join('');
  const html = lean(read('page.html'))
    .replace('/* style.css */', () => style)
    .replace('/* scripts */', () => script);
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
