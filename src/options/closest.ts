/** Suggestions for misspelt words. */

/**
 * The candidate most similar to `name`: a prefix of it, or with at most a third of its characters
 * mistyped, ignoring dashes, underscores and case. Null if none is similar.
 */
export function closest(name: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const given = plain(name.slice(0, 100));
    const distance = given.startsWith(plain(candidate)) ? 1 : distanceOf(given, plain(candidate));
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

/** Edit distance: insertions, deletions, changes, and swaps of neighbours. */
function distanceOf(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    const above = rows[i - 1]!;
    for (let j = 1; j <= b.length; j += 1) {
      const change = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, change);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, (rows[i - 2]?.[j - 2] ?? Infinity) + 1);
      }
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
