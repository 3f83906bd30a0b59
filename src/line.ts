/**
 * Who waits, in the order they came, each once; anybody can be taken out at any time. A Set is the same,
 * and not for those who come and go with each message: its table is made anew whenever it is full of
 * those who left, each points to the next, and one that has become old keeps all that follow it from the
 * garbage of the young until all memory is looked through (V8).
 */

/** Who can stand in one line at a time. Only for `Line`. */
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

  /** Puts it behind the others, unless it stands here already. */
  add(one: T): void {
    if (one.line === this) return;
    one.line = this;
    one.before = this.#last;
    if (this.#last === null) this.#first = one;
    else this.#last.after = one;
    this.#last = one;
    this.#size += 1;
  }

  /** Whether it stood here. */
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

  /** Lets everybody go. */
  clear(): void {
    while (this.#first !== null) this.delete(this.#first);
  }
}
