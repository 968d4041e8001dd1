/** The name among `names` that is nearest to what somebody wrote, by edit distance (Levenshtein 1966). */
export function nearest(written: string, names: readonly string[]): string {
  const asked = written.slice(0, 64).toUpperCase();
  return names.reduce((best, each) => (distance(asked, each) < distance(asked, best) ? each : best));
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
