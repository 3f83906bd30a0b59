/** Reads the Prometheus text format, as far as sums and histograms need it. */

export interface SeriesSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Cumulative counts by upper bound, sorted; the last bound is Infinity. */
export type Buckets = readonly (readonly [le: number, count: number])[];

export class Scrape {
  readonly #series = new Map<string, SeriesSample[]>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (!match || line.startsWith('#')) continue;
      const [, name = '', labels = '', value = ''] = match;
      const samples = this.#series.get(name) ?? [];
      samples.push({ labels: parseLabels(labels), value: parseValue(value) });
      this.#series.set(name, samples);
    }
  }

  /** The sum over all series of a name; null without any, or when one is not a number. */
  sum(name: string): number | null {
    const sum = this.#series.get(name)?.reduce((total, { value }) => total + value, 0);
    return sum === undefined || Number.isNaN(sum) ? null : sum;
  }

  /** A histogram's buckets, summed over all other labels that match; null without any. */
  buckets(name: string, where: Readonly<Record<string, string>> = {}): Buckets | null {
    const counts = new Map<number, number>();
    for (const { labels, value } of this.#series.get(`${name}_bucket`) ?? []) {
      if (Object.entries(where).some(([label, wanted]) => labels[label] !== wanted)) continue;
      const le = parseValue(labels['le'] ?? '');
      counts.set(le, (counts.get(le) ?? 0) + value);
    }
    return counts.size === 0 ? null : [...counts].sort(([a], [b]) => a - b);
  }
}

/**
 * A quantile of what a histogram counted between two scrapes, interpolated within its bucket as
 * Prometheus does; null when it counted nothing.
 */
export function quantileBetween(
  before: Buckets | null,
  after: Buckets | null,
  quantile: number,
): number | null {
  if (!after) return null;
  const earlier = new Map(before ?? []);
  const counts = after.map(([le, count]) => [le, count - (earlier.get(le) ?? 0)] as const);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = quantile * total;
  let lower = 0;
  let below = 0;
  for (const [le, count] of counts) {
    if (count >= rank) {
      if (le === Number.POSITIVE_INFINITY) return lower;
      return lower + ((le - lower) * (rank - below)) / (count - below);
    }
    lower = le;
    below = count;
  }
  return lower;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(["\\n])/g, (_, c: string) => (c === 'n' ? '\n' : c));
  }
  return labels;
}

function parseValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}
