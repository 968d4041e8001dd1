/**
 * One word of a source text. `text` of a string or template piece is what stands between its quotes, as written;
 * comments and blanks are no tokens. Signs are single characters, but for `${`, which opens an expression in a
 * template and is closed by `}`.
 */
export interface Token {
  kind: 'name' | 'number' | 'string' | 'template' | 'regex' | 'sign';
  text: string;
  /** Counted from 1. */
  line: number;
  /** How many brackets are open around it; an opening and its closing bracket have the same depth. */
  depth: number;
}

const blank = /\s+|\/\/.*|\/\*[\s\S]*?\*\//y;
const name = /[#@]?[\p{ID_Start}$_][\p{ID_Continue}$]*/uy;
const number = /\d[\w.]*/y;
const string = /'((?:[^'\\\n]|\\[\s\S])*)'|"((?:[^"\\\n]|\\[\s\S])*)"/y;
const regex = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y;
const templatePiece = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y;

/** After these a slash divides; after anything else it opens a regular expression. */
const endsValue = (token: Token | undefined): boolean =>
  token !== undefined &&
  (token.kind === 'sign' ? ')]}'.includes(token.text) : token.kind !== 'name' || !beforeRegex.has(token.text));

const beforeRegex = new Set(['return', 'typeof', 'case', 'in', 'of', 'void', 'delete', 'throw', 'await', 'yield']);

/** The tokens of a TypeScript or JavaScript text that compiles; a text that does not may give nonsense or an Error. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  const open: string[] = [];
  let at = 0;
  let line = 1;

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  const add = (kind: Token['kind'], text: string, length: number): void => {
    tokens.push({ kind, text, line, depth: open.length });
    for (const character of source.slice(at, at + length)) if (character === '\n') line += 1;
    at += length;
  };
  const addTemplatePiece = (): void => {
    const text = match(templatePiece)?.[0] ?? '';
    add('template', text, text.length);
    if (source.startsWith('${', at)) {
      add('sign', '${', 2);
      open.push('${');
      return;
    }
    if (source[at] !== '`') throw new Error(`line ${line}: a template that does not end`);
    at += 1;
  };

  while (at < source.length) {
    const skipped = match(blank);
    if (skipped !== null) {
      line += skipped[0].split('\n').length - 1;
      at += skipped[0].length;
      continue;
    }
    const word = match(name);
    if (word !== null) {
      add('name', word[0], word[0].length);
      continue;
    }
    const digits = match(number);
    if (digits !== null) {
      add('number', digits[0], digits[0].length);
      continue;
    }
    const quoted = match(string);
    if (quoted !== null) {
      add('string', quoted[1] ?? quoted[2] ?? '', quoted[0].length);
      continue;
    }
    const pattern = endsValue(tokens.at(-1)) ? null : match(regex);
    if (pattern !== null) {
      add('regex', pattern[0], pattern[0].length);
      continue;
    }
    const sign = source.charAt(at);
    if (sign === '`') {
      at += 1;
      addTemplatePiece();
      continue;
    }
    if ('([{'.includes(sign)) {
      add('sign', sign, 1);
      open.push(sign);
      continue;
    }
    if (!')]}'.includes(sign)) {
      add('sign', sign, 1);
      continue;
    }
    const opened = open.pop();
    add('sign', sign, 1);
    if (opened === '${') addTemplatePiece();
  }
  return tokens;
}
