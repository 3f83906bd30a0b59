/**
 * Pending requests by number. A number is unique within 2^32 requests, so that a late answer finds
 * nothing. Not a Map, for the reason `line.ts` gives: every message adds and removes an entry.
 */
const FEWEST = 64;

export interface Numbered {
  /** Only for `Numbers`. */
  number: number;
}

export class Numbers<T extends Numbered> {
  /** Indexed by the low bits of the number. The length is a power of two, and at least half is free. */
  #places: (T | null)[] = Array(FEWEST).fill(null);
  #last = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds an entry and assigns its number. */
  add(one: T): number {
    if (this.#size * 2 >= this.#places.length) this.#grow();
    const mask = this.#places.length - 1;
    // A long pending entry may still occupy the next index.
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#places[this.#last & mask] !== null);
    one.number = this.#last;
    this.#places[this.#last & mask] = one;
    this.#size += 1;
    return this.#last;
  }

  /** Removes the entry; null if it was removed before. */
  take(number: number): T | null {
    const at = number & (this.#places.length - 1);
    const one = this.#places[at] as T | null;
    if (one?.number !== number) return null;
    this.#places[at] = null;
    this.#size -= 1;
    return one;
  }

  /** All entries, mostly oldest first; the caller may remove any while iterating. */
  all(): T[] {
    const { length } = this.#places;
    const all: T[] = [];
    for (let i = 1; i <= length; i += 1) {
      const one = this.#places[(this.#last + i) & (length - 1)];
      if (one) all.push(one);
    }
    return all;
  }

  #grow(): void {
    const places: (T | null)[] = Array(this.#places.length * 2).fill(null);
    // Entries with different indexes keep different ones in a longer array.
    for (const one of this.#places) if (one) places[one.number & (places.length - 1)] = one;
    this.#places = places;
  }
}
