/**
 * Owns: an intrusive doubly linked list: `push` and `remove` allocate nothing and are O(1). An item can be
 * in one such list at a time.
 */

export interface Linked<T> {
  previous: T | null;
  next: T | null;
}

export class List<T extends Linked<T>> {
  first: T | null = null;
  last: T | null = null;
  size = 0;

  push(item: T): void {
    item.previous = this.last;
    if (this.last === null) this.first = item;
    else this.last.next = item;
    this.last = item;
    this.size += 1;
  }

  remove(item: T): void {
    if (item.previous === null) this.first = item.next;
    else item.previous.next = item.next;
    if (item.next === null) this.last = item.previous;
    else item.next.previous = item.previous;
    item.previous = null;
    item.next = null;
    this.size -= 1;
  }
}
