import os from 'node:os';
import { parseEnv } from 'node:util';

import { contradictions, settings } from './config.ts';
import type { Config, SettingName } from './config.ts';
import { nearest } from './nearest.ts';
import { Wrong } from './settings.ts';
import type { Setting } from './settings.ts';

/** Where the texts of the settings come from. */
export interface Sources {
  env: Readonly<Record<string, string | undefined>>;
  /** The text of the `.env` file, undefined when there is none. */
  envFile: string | undefined;
  /** What it is called; `.env` when left out. */
  envFileName?: string;
  /** Command-line flags, by the name of their setting. */
  flags: Readonly<Record<string, string | undefined>>;
  /** Reads the file that NAME_FILE names; throws when it can't be read. */
  readFile(path: string): string;
  /** For settings that only their users can read: throws a sentence that says what is wrong and what is accepted. */
  checks?: Partial<Record<SettingName, (value: string) => void>>;
}

export type Loaded =
  | {
      config: Config;
      /** Those that somebody set; the others have their defaults. */
      explicit: ReadonlySet<SettingName>;
      /** What each setting was read from, as text; undefined where it is unset. */
      texts: Readonly<Record<SettingName, string | undefined>>;
      warnings: string[];
    }
  /** One line each: name, what is wrong, what is accepted. */
  | { faults: string[] };

/** The same with the `.env` file read, or the one that `--env-file` names, which then has to be there. */
export function loadConfigFiles({ envFile: named, ...sources }: Sources): Loaded {
  let envFile: string | undefined;
  try {
    envFile = sources.readFile(named ?? '.env');
  } catch (error) {
    if (named !== undefined || (error as NodeJS.ErrnoException).code !== 'ENOENT') {
      const file = named === undefined ? '.env:' : `--env-file: ${named}`;
      return { faults: [`${file} can't be read; accepted: a file of NAME=value lines that this user may read`] };
    }
  }
  return loadConfig({ ...sources, envFile, ...(named === undefined ? {} : { envFileName: named }) });
}

/** Flags over environment over `.env` over defaults. An empty value counts as unset. Finds all faults at once. */
export function loadConfig({ env, envFile = '', envFileName = '.env', flags, readFile, checks = {} }: Sources): Loaded {
  const faults: string[] = [];
  const warnings = withoutEquals(envFile).map((line) => `${envFileName}: line ${line} is no NAME=value and is ignored`);
  const fromFile = parseEnv(envFile.replace(/^\uFEFF/, ''));
  for (const name of Object.keys(fromFile)) {
    if (isSettingName(name) || isSecretFile(name)) continue;
    warnings.push(`${envFileName}: ${name} is not a setting; did you mean ${nearest(name, Object.keys(settings))}?`);
  }
  const given = (name: string): string | undefined => flags[name] || env[name] || fromFile[name] || undefined;
  const values: Record<string, unknown> = {};
  const explicit = new Set<SettingName>();
  const texts = {} as Record<SettingName, string | undefined>;
  const wrong = new Set<string>();

  for (const [name, setting] of Object.entries(settings) as [SettingName, Setting<unknown>][]) {
    const found = textOf(name, setting, given, readFile);
    if (found !== undefined) explicit.add(name);
    const text = found === undefined || 'fault' in found ? setting.fallback : found.text;
    const read = found !== undefined && 'fault' in found ? found : valueOf(name, setting, text, checks[name]);
    texts[name] = text;
    if ('fault' in read) {
      faults.push(read.fault);
      wrong.add(name);
    }
    // In the place of a wrong one stands the default, so that what depends on it can be looked at as well.
    values[camel(name)] = 'value' in read ? read.value : setting.fallback && setting.read(setting.fallback);
  }
  // The same object: what depends on several settings is put right in it below.
  const config = values as Config;
  values['workers'] ||= os.availableParallelism();
  const stricter = config.environment === 'production' && !explicit.has('PASSWORD_MIN_LENGTH');
  if (stricter) values['passwordMinLength'] = Number((texts.PASSWORD_MIN_LENGTH = '8'));
  if (!explicit.has('PUBLIC_URL')) {
    if (config.port !== 0) values['publicUrl'] = texts.PUBLIC_URL = `http://127.0.0.1:${config.port}`;
    if (config.environment === 'production' && explicit.has('MAIL_URL')) {
      warnings.push(`PUBLIC_URL is unset: mail names ${config.publicUrl}, which nobody elsewhere can reach.`);
    }
  }
  faults.push(...contradictions(config, explicit).filter((fault) => !wrong.has(fault.split(':', 1)[0]!)));
  return faults.length > 0 ? { faults } : { config, explicit, texts, warnings };
}

/** The lines that `parseEnv` passes over and that are no comments, by number: what stands there may be a secret. */
const withoutEquals = (envFile: string): number[] =>
  envFile
    .replace(/^[^#=\n]*=[ \t]*(["'`])[^]*?\1/gm, (quoted) => quoted.replace(/./g, '='))
    .split('\n')
    .flatMap((line, index) => (/^\s*[^\s#=][^=]*$/.test(line) ? [index + 1] : []));

/** The text that somebody gave a setting, itself or by NAME_FILE; undefined when nobody did. */
function textOf(
  name: string,
  { secret }: Setting<unknown>,
  given: (name: string) => string | undefined,
  readFile: Sources['readFile'],
): { text: string } | { fault: string } | undefined {
  const text = given(name);
  const path = secret ? given(`${name}_FILE`) : undefined;
  if (path === undefined) return text === undefined ? undefined : { text };
  if (text !== undefined) return { fault: `${name}: is set and so is ${name}_FILE; set one of them` };
  const held = secretIn(path, readFile);
  if (held !== undefined) return { text: held };
  return { fault: `${name}_FILE: ${path} can't be read or is empty; accepted: a file that holds the secret` };
}

/** What a text means; without one, nothing. */
function valueOf(
  name: string,
  { read, secret, accepts }: Setting<unknown>,
  text: string | undefined,
  check: ((value: string) => void) | undefined,
): { value: unknown } | { fault: string } {
  if (text === undefined) return { value: undefined };
  const value = read(text);
  if (value instanceof Wrong) return { fault: `${name}: ${told(value, secret)}; accepted: ${accepts}` };
  try {
    check?.(String(value));
    return { value };
  } catch (error) {
    return { fault: `${name}: ${(error as Error).message}` };
  }
}

function told({ problem, quoted }: Wrong, isSecret: boolean): string {
  if (quoted === undefined) return problem;
  return isSecret ? 'is not acceptable' : `${problem} "${quoted}"`;
}

const isSettingName = (name: string): name is SettingName => Object.hasOwn(settings, name);

const isSecretFile = (name: string): boolean => {
  const [, of = ''] = /^(.*)_FILE$/.exec(name) ?? [];
  return isSettingName(of) && settings[of].secret;
};

/** What the file holds, without its final newline; undefined when there is nothing to be had. */
function secretIn(path: string, readFile: Sources['readFile']): string | undefined {
  try {
    return readFile(path).replace(/\r?\n$/, '') || undefined;
  } catch {
    return undefined;
  }
}

const camel = (name: string): string =>
  name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
