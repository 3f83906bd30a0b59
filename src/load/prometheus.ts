/**
 * Reads the Prometheus text format, as far as sums and histograms need it. Searches a page for the
 * requested names and does not parse the rest: the process that measures message latency scrapes
 * every second.
 */

interface SeriesSample {
  readonly labels: string;
  readonly value: number;
}

/** Cumulative counts by upper bound, sorted; the last bound is Infinity. */
export type Buckets = readonly (readonly [le: number, count: number])[];

export class Scrape {
  readonly #text: string;

  constructor(text: string) {
    this.#text = `\n${text}`;
  }

  /**
   * The sum over the series of a name whose labels match; null without any series of the name, or when
   * one is not a number.
   */
  sum(name: string, where = /(?:)/): number | null {
    const all = [...this.#samples(name)];
    if (all.length === 0) return null;
    const samples = all.filter(({ labels }) => where.test(labels));
    const sum = samples.reduce((total, { value }) => total + value, 0);
    return Number.isNaN(sum) ? null : sum;
  }

  /** A histogram's buckets, summed over all series that have the given label; null without any. */
  buckets(name: string, where = ''): Buckets | null {
    const counts = new Map<number, number>();
    for (const { labels, value } of this.#samples(`${name}_bucket`)) {
      if (!labels.includes(where)) continue;
      const le = parseValue(/\ble="([^"]*)"/.exec(labels)?.[1] ?? '');
      counts.set(le, (counts.get(le) ?? 0) + value);
    }
    return counts.size === 0 ? null : [...counts].sort(([a], [b]) => a - b);
  }

  *#samples(name: string): Generator<SeriesSample> {
    const text = this.#text;
    const start = `\n${name}`;
    for (let at = text.indexOf(start); at >= 0; at = text.indexOf(start, at + 1)) {
      const end = text.indexOf('\n', at + 1);
      const line = text.slice(at + start.length, end < 0 ? undefined : end);
      const match = /^(?:\{(.*)\})? (\S+)/.exec(line);
      if (match) yield { labels: match[1] ?? '', value: parseValue(match[2] ?? '') };
    }
  }
}

/**
 * A quantile of the observations between two scrapes, interpolated within its bucket as Prometheus
 * does; null when there were none.
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

function parseValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}
