/**
 * What waits for an answer by its number, which is given once in 2^32: an answer that comes too late finds
 * nothing. Not a Map, for the reason `line.ts` gives: with each message something comes and goes.
 */
const FEWEST = 64;

export interface Numbered {
  /** Only for `Numbers`. */
  number: number;
}

export class Numbers<T extends Numbered> {
  /** Each where the last bits of its number say; as many places as a power of two, half of them free. */
  #places: (T | null)[] = Array(FEWEST).fill(null);
  #last = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Gives it its number. */
  add(one: T): number {
    if (this.#size * 2 >= this.#places.length) this.#grow();
    const mask = this.#places.length - 1;
    // Who has waited for long may still be where the next one would be.
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#places[this.#last & mask] !== null);
    one.number = this.#last;
    this.#places[this.#last & mask] = one;
    this.#size += 1;
    return this.#last;
  }

  /** Takes it out; null where it has been before. */
  take(number: number): T | null {
    const at = number & (this.#places.length - 1);
    const one = this.#places[at] as T | null;
    if (one?.number !== number) return null;
    this.#places[at] = null;
    this.#size -= 1;
    return one;
  }

  /** All of them, mostly the oldest first; any may be taken out meanwhile. */
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
    // Numbers that differ in fewer bits differ in more.
    for (const one of this.#places) if (one) places[one.number & (places.length - 1)] = one;
    this.#places = places;
  }
}
