import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';

import { tokenize } from './tokens.ts';
import type { Token } from './tokens.ts';

/** One mention of another module. `specifier` is undefined when it is computed while the program runs. */
export interface Import {
  specifier: string | undefined;
  /** `value` runs the module, `type` vanishes before it could, `thread` starts it as the entry of a thread. */
  kind: 'value' | 'type' | 'thread';
  /** Whether it is loaded only when the program comes by: `import()`. */
  isCall: boolean;
  /** What is taken out of it, by the name it has there; `*` is all of it. Types that vanish are not among them. */
  names: string[];
  line: number;
}

/** What can be read off a source file without running it. */
export interface Module {
  /** All tokens, types included. */
  tokens: Token[];
  /** The tokens that are left once the types have been taken away, on the same lines. */
  code: Token[];
  /** The first token of each top-level statement of `code`, without `export`, `async` and `abstract`. */
  statements: Token[];
  imports: Import[];
  /** Whether it hands on what others declare and declares nothing itself. */
  isBarrel: boolean;
}

const text = (token: Token | undefined): string => token?.text ?? '';
const isSign = (token: Token | undefined, sign: string): boolean => token?.kind === 'sign' && token.text === sign;

/**
 * `import`, `export … from`, `import()` (of types, too), `new URL('….ts', import.meta.url)` (or `.js`), and
 * `const { … } = createRequire(import.meta.url)('…')`.
 */
function importsOf(tokens: readonly Token[]): Import[] {
  const found: Import[] = [];
  tokens.forEach((token, i) => {
    const next = tokens[i + 1];
    if (token.kind !== 'name' || isSign(tokens[i - 1], '.')) return;

    if (token.text === 'URL' && isSign(next, '(') && text(tokens[i + 4]) === 'import') {
      const entry = tokens[i + 2];
      if (entry?.kind === 'string' && /\.(ts|js)$/.test(entry.text)) {
        found.push({ specifier: entry.text, kind: 'thread', isCall: false, names: [], line: token.line });
      }
      return;
    }
    if (token.text === 'createRequire' && isSign(next, '(')) {
      const asked = tokens[i + 9];
      const isLiteral = isSign(tokens[i + 8], '(') && asked?.kind === 'string';
      const brace = tokens.findLastIndex((one, at) => at < i && isSign(one, '{'));
      const names = namesOf(tokens.slice(brace, i).filter(({ depth }) => depth !== 0));
      const specifier = isLiteral ? asked.text : undefined;
      found.push({ specifier, kind: 'value', isCall: false, names, line: token.line });
      return;
    }
    if (token.text === 'import' && isSign(next, '(')) {
      const argument = tokens[i + 2];
      const isLiteral = argument?.kind === 'string' && (isSign(tokens[i + 3], ')') || isSign(tokens[i + 3], ','));
      const name = isLiteral ? argument.text : undefined;
      found.push({ specifier: name, kind: 'value', isCall: true, names: ['*'], line: token.line });
      return;
    }
    if (token.depth !== 0 || (token.text !== 'import' && token.text !== 'export') || isSign(next, '.')) return;
    if (token.text === 'import' && next?.kind === 'string') {
      found.push({ specifier: next.text, kind: 'value', isCall: false, names: ['*'], line: token.line });
      return;
    }
    const from = clauseEnd(tokens, i + 1);
    const specifier = tokens[from + 1];
    if (text(tokens[from]) !== 'from' || specifier?.kind !== 'string') return;
    const isType = text(next) === 'type' && text(tokens[i + 2]) !== 'from' && !isSign(tokens[i + 2], ',');
    const names = isType ? [] : namesOf(tokens.slice(i + 1, from));
    const kind = isType ? 'type' : 'value';
    found.push({ specifier: specifier.text, kind, isCall: false, names, line: token.line });
  });
  return found;
}

/** `a, { b, c as d, type E }` takes `default`, `b` and `c`. */
function namesOf(clause: readonly Token[]): string[] {
  return clause.flatMap((token, i) => {
    if (isSign(token, '*')) return ['*'];
    if (token.kind === 'sign' || text(clause[i - 1]) === 'as' || text(clause[i - 1]) === 'type') return [];
    if (text(token) === 'as' || text(token) === 'type') return [];
    return [token.depth === 0 ? 'default' : token.text];
  });
}

/** The index of the first token after the names of an import or export: `from`, if it has one. */
function clauseEnd(tokens: readonly Token[], start: number): number {
  let i = start;
  while (i < tokens.length) {
    const token = tokens[i];
    const isFrom = text(token) === 'from' && tokens[i + 1]?.kind === 'string';
    const isName = token?.kind === 'name' && !declares.has(token.text);
    if (isFrom || token?.depth === undefined || (token.depth === 0 && !isName && !'{},*'.includes(token.text))) break;
    i += 1;
  }
  return i;
}

const declares = new Set(['const', 'let', 'var', 'function', 'class', 'interface', 'enum', 'namespace', 'async']);
const prefixes = new Set(['export', 'async', 'abstract', 'default']);

/** The first tokens of the top-level statements. A line that starts with a word after a complete value starts one. */
function statementsOf(code: readonly Token[]): Token[] {
  const found: Token[] = [];
  let first: Token | undefined;
  code.forEach((token, i) => {
    if (token.depth !== 0) return;
    const before = code[i - 1];
    const startsLine = before !== undefined && before.line < token.line && before.text !== 'export';
    const isValueEnd = before?.kind !== 'sign' || ')]}'.includes(before.text);
    if (first !== undefined && startsLine && isValueEnd && token.kind !== 'sign') first = undefined;
    if (isSign(token, ';')) {
      first = undefined;
      return;
    }
    if (first === undefined) {
      first = token;
      found.push(token);
    } else if (before === first && prefixes.has(first.text) && token.kind === 'name') {
      first = token;
      found.splice(-1, 1, token);
    }
    const isBlock = first.text === 'function' || first.text === 'class';
    if (isBlock && isSign(token, '}')) first = undefined;
  });
  return found;
}

function isBarrel(tokens: readonly Token[]): boolean {
  const top = tokens.filter(({ depth }) => depth === 0);
  const declaresType = (i: number): boolean =>
    text(top[i]) === 'type' && top[i + 1]?.kind === 'name' && (isSign(top[i + 2], '=') || isSign(top[i + 2], '<'));
  const words = top.filter(({ kind }) => kind === 'name').map(({ text }) => text);
  return words.includes('export') && !words.some((word) => declares.has(word) || word === 'default') &&
    !top.some((_, i) => declaresType(i));
}

/** Reads a source file. Throws what the parser throws when it is no TypeScript that Node can run. */
export function readModule(file: string): Module {
  const source = readFileSync(file, 'utf8');
  const tokens = tokenize(source);
  const code = tokenize(stripTypeScriptTypes(source));
  return { tokens, code, statements: statementsOf(code), imports: importsOf(tokens), isBarrel: isBarrel(tokens) };
}
