/** Selects the highest-ranked items without sorting the whole list. */
import { Type } from 'typebox';

const DEFAULT_LIMIT = 20;
/** Maximum number of entries in a list. */
export const MAX_LIMIT = 1000;

/** The `limit` query parameter of every list. */
export const Limit = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: MAX_LIMIT,
    default: DEFAULT_LIMIT,
    description: 'Maximum number of entries.',
  }),
);

/** Returns the `limit` items with the highest rank, highest first; among equals, the earlier first. */
export function top<T>(items: Iterable<T>, rank: (item: T) => number, limit = DEFAULT_LIMIT): T[] {
  const best: { item: T; rank: number }[] = [];
  for (const item of items) {
    const entry = { item, rank: rank(item) };
    if (best.length === limit && entry.rank <= best[limit - 1]!.rank) continue;
    let low = 0;
    for (let high = best.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (best[middle]!.rank < entry.rank) high = middle;
      else low = middle + 1;
    }
    best.splice(low, 0, entry);
    if (best.length > limit) best.pop();
  }
  return best.map(({ item }) => item);
}
