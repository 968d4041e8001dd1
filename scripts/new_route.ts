// A new kind of thing that belongs to a user: table, verbs, schemas, routes and a test, to be changed from there.
//
// Everything is checked before anything is written; a sentence and exit code 1 when it can not be done, 2 when the name
// itself is wrong.

import './require_node.cjs';

import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const templates = join(import.meta.dirname, 'new_route');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const HELP = `Usage: node scripts/new_route.ts THINGS [THING]

Writes a table with its migrations, verbs, schemas, routes and a test that
passes, for things that belong to a user; change them from there.

  THINGS   the table's name, in small letters, as in order_items
  THING    what one of them is called, when that is not the name without its s
`;

class Refused extends Error {}
class Usage extends Refused {}

/** The marks of a template and what stands in their place: the name in every coat that it needs. */
type Names = Readonly<Record<string, string>>;

function namesOf(many: string, one: string): Names {
  const pascal = (name: string): string => name.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
  const camel = (name: string): string => pascal(name).replace(/^./, (letter) => letter.toLowerCase());
  const words = many.replaceAll('_', ' ');
  return {
    things: many,
    thing: one,
    Things: pascal(many),
    Thing: pascal(one),
    camel: camel(many),
    camelOne: camel(one),
    path: many.replaceAll('_', '-'),
    words,
    Words: words.replace(/^./, (letter) => letter.toUpperCase()),
  };
}

/** The name itself where none is obvious. */
const singular = (many: string): string =>
  /(^|_)(news|series|species)$/.test(many)
    ? many
    : many.replace(/ies$/, 'y').replace(/(?<=ss|x|ch|sh)es$|(?<=[^s])s$/, '');

/** Words of SQL that both engines, or one of them, take for something else than a table. */
const SQL_WORDS = ['columns', 'constraints', 'groups', 'indexes', 'references', 'rows', 'tables', 'values', 'views'];

function checkNames(many: string, one: string): void {
  for (const name of [many, one]) {
    if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name) || name.length > 40) {
      const accepted = 'small letters, digits and single _, as in order_items';
      throw new Usage(`"${name}" is no name for a table; accepted: ${accepted}`);
    }
  }
  if (many === one) throw new Usage(`What is one of "${many}" called? node scripts/new_route.ts ${many} ONE`);
  const { camel, Thing } = namesOf(many, one);
  const text = readdirSync(templates).map((file) => readFileSync(join(templates, file), 'utf8')).join('\n');
  const code = text.replaceAll(/«\w+»/g, '');
  const isTaken = (word: string): boolean => new RegExp(`\\b${word}\\b`).test(code);
  if (SQL_WORDS.includes(many) || isTaken(camel!) || isTaken(Thing!)) {
    throw new Refused(`"${many}" means something else already, to SQL or in this code; take another name`);
  }
}

/** The files to be made, by template. */
const newFiles = ({ things, thing }: Names, version: string): [file: string, template: string][] => [
  [`src/db/migrations/sqlite/${version}_create_${things}.sql`, 'sqlite.sql.txt'],
  [`src/db/migrations/postgres/${version}_create_${things}.sql`, 'postgres.sql.txt'],
  [`src/db/${things}.ts`, 'verbs.ts.txt'],
  [`src/schemas/${thing}.ts`, 'schemas.ts.txt'],
  [`src/api/routes/${things}.ts`, 'routes.ts.txt'],
  [`test/api/${things}.test.ts`, 'test.ts.txt'],
];

function nextVersion(): string {
  const versions = readdirSync(join(root, 'src/db/migrations/sqlite')).map((file) => parseInt(file, 10));
  return String(Math.max(0, ...versions.filter(Number.isInteger)) + 1).padStart(4, '0');
}

/** Puts `text` before the first place in a file that fits; the file's new text. */
function insertBefore(file: string, source: string, place: RegExp, text: string): string {
  const at = source.search(place);
  if (at < 0) throw new Refused(`${file} is not as it was; add this by hand: ${text.trim()}`);
  return source.slice(0, at) + text + source.slice(at);
}

/** What changes in files that are there: the list of routes, and what the tag of the new ones is about. */
function changedFiles({ things, words, camelOne }: Names): [file: string, text: string][] {
  const routes = `${camelOne}Routes`;
  const tag = words!.includes(' ') ? `'${words}'` : words;
  const [router, about] = ['src/api/router.ts', 'src/api/about.ts'];
  const imports = [...read(router).matchAll(/^import .* '(\.\/routes\/\w+\.ts)';\n/gm)];
  const line = `import { ${routes} } from './routes/${things}.ts';\n`;
  const next = imports.find(([, path]) => path! > `./routes/${things}.ts`);
  const place = next === undefined ? /\n\/\*\* The whole API/ : new RegExp(RegExp.escape(next[0]));
  const imported = insertBefore(router, read(router), place, line);
  return [
    [router, insertBefore(router, imported, /^ {2}\.\.\.systemRoutes/m, `  ...${routes},\n`)],
    [about, insertBefore(about, read(about), /^ {4}system:/m, `    ${tag}: 'Your own ${words}.',\n`)],
  ];
}

function checkWritable(file: string): void {
  try {
    accessSync(join(root, file), constants.W_OK);
  } catch (error) {
    throw new Refused(`${file} can't be written: ${(error as Error).message}`);
  }
}

function main([many = '', one = singular(many), ...others]: readonly string[]): void {
  if (many === '--help' || many === '-h') return void process.stdout.write(HELP);
  if (many === '' || others.length > 0) throw new Usage(HELP.split('\n')[0]);
  checkNames(many, one);
  const names = namesOf(many, one);
  const made = newFiles(names, nextVersion()).map(([file, template]): [file: string, text: string] => {
    if (existsSync(join(root, file))) throw new Refused(`${file} is there already`);
    const text = readFileSync(join(templates, template), 'utf8');
    return [file, text.replaceAll(/«(\w+)»/g, (_, mark: string) => names[mark]!)];
  });
  const changed = changedFiles(names);
  for (const file of [...made.map(([file]) => dirname(file)), ...changed.map(([file]) => file)]) checkWritable(file);
  for (const [file, text] of [...made, ...changed]) writeFileSync(join(root, file), text);
  for (const [file] of made) console.log(`made     ${file}`);
  for (const [file] of changed) console.log(`changed  ${file}`);
  console.log(`\nTest it: node --test test/api/${many}.test.ts`);
}

if (import.meta.main) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    console.error(error.message);
    process.exitCode = error instanceof Usage ? 2 : 1;
  }
}
