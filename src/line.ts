/**
 * A linked FIFO queue: each item is in it at most once and can be removed from any position in O(1). A
 * `Set` does the same but is unfit for items that join and leave with every message: it rebuilds its
 * table whenever the table is full of deleted entries, each old table points to the next, and an old
 * table in the old generation keeps all later ones alive until a full garbage collection (V8).
 */

/** An item that can be in one `Line` at a time. The fields are for `Line` only. */
export interface Queued<T> {
  line: unknown;
  before: T | null;
  after: T | null;
}

export class Line<T extends Queued<T>> {
  #first: T | null = null;
  #last: T | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): T | null {
    return this.#first;
  }

  /** Appends `one`, unless it is already in this line. */
  add(one: T): void {
    if (one.line === this) return;
    one.line = this;
    one.before = this.#last;
    if (this.#last === null) this.#first = one;
    else this.#last.after = one;
    this.#last = one;
    this.#size += 1;
  }

  /** Removes `one`; returns whether it was in this line. */
  delete(one: T): boolean {
    if (one.line !== this) return false;
    const { before, after } = one;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    one.line = null;
    one.before = null;
    one.after = null;
    this.#size -= 1;
    return true;
  }

  /** Removes all items. */
  clear(): void {
    while (this.#first !== null) this.delete(this.#first);
  }
}
