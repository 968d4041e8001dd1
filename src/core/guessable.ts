/** Words of which people make keys: the characters of a random key hardly ever spell one. */
const WORDS = new RegExp(
  [
    'change', 'secret', 'password', 'passw0rd', 'passphrase', 'example', 'your', 'super', 'key', 'jwt', 'token',
    'with', 'least', 'character', 'chars', 'long', 'random', 'string', 'this', 'that', 'must', 'should', 'please',
    'replace', 'default', 'production', 'development', 'test', 'auth', 'sign', 'private', 'very', 'strong', 'secure',
    'safe', 'here', 'some', 'thing', 'not', 'for', 'the', 'and', 'use', 'byte', 'bits', 'more', 'than', 'minimum',
  ].join('|'),
  'gi',
);

/** Bits that what is left of a key must show, counting how often each character occurs in it. */
const ENOUGH_BITS = 80;

/** Whether a key shows little of the randomness that its length could hold: repetitions and words count for nothing. */
export function isGuessable(key: string): boolean {
  if (/^(.+?)\1+$/s.test(key)) return true;
  const characters = [...key.replace(WORDS, '')];
  const counts = new Map<string, number>();
  for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / characters.length);
  const steps = new Set(characters.slice(1).map((next, i) => next.codePointAt(0)! - characters[i]!.codePointAt(0)!));
  return bits < ENOUGH_BITS || steps.size < 5;
}
