import { settings } from '../src/core/config.ts';
import type { SettingName } from '../src/core/config.ts';
import { runCommand, say } from './shared.ts';

const help = `Usage: node scripts/print_config.ts [--json]

Prints the settings that a server started here would have, one NAME=value a
line; those that nobody set behind a #. Secrets are hidden. Wrong settings are
listed as the server does, and the exit code is 1.

  --json            an object instead
  --env-file FILE   settings, as for the server (.env)
`;

/** A secret's place is taken by stars; of a URL only what logs in is one. */
export function shown(name: SettingName, text: string | undefined): string | undefined {
  if (text === undefined || !settings[name].secret) return text;
  if (!name.endsWith('_URL')) return '***';
  if (!URL.canParse(text)) return '***';
  return text.replace(/^([a-z]+:\/\/)[^/?#]*@/i, '$1***@').replace(/(password=)[^&]*/gi, '$1***');
}

if (import.meta.main) {
  await runCommand({
    help,
    options: { json: { type: 'boolean' } },
    async run({ has, loaded: { texts, explicit, warnings } }) {
      const names = Object.keys(settings) as SettingName[];
      for (const warning of warnings) process.stderr.write(`${warning}\n`);
      if (has('json')) {
        const entries = names.map((name) => [name, shown(name, texts[name]) ?? null]);
        return say(JSON.stringify(Object.fromEntries(entries), null, 2));
      }
      for (const name of names) say(`${explicit.has(name) ? '' : '# '}${name}=${shown(name, texts[name]) ?? ''}`);
    },
  });
}
