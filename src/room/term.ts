/**
 * Numbers of a room. At the broker they restart whenever the epoch changes. Within a node, local numbers
 * only rise, so that queues, gaps and flushes need not know about epochs. A term is the stretch between
 * two changes of the epoch and maps between both numberings; each term links to the next, so a term is
 * collected once no member refers to it or an earlier one.
 */
import type { Position } from '../broker/broker.js';

export class Term {
  readonly epoch: string;
  /** Local number of the position it began with. */
  readonly start: number;
  /** Local number of its last message; infinite while it is the current term. */
  end = Number.POSITIVE_INFINITY;
  next: Term | null = null;
  readonly #offset: number;

  /** `after`: the local number that corresponds to sequence number 0. */
  constructor({ epoch, seq }: Position, after: number) {
    this.epoch = epoch;
    this.#offset = after;
    this.start = this.localOf(seq);
  }

  /** Ends this term at `last` and returns the next one, which continues from `position`. */
  follow(position: Position, last: number): Term {
    this.end = last;
    // The change itself takes one number, which no message has.
    this.next = new Term(position, last + 1);
    return this.next;
  }

  localOf(seq: number): number {
    return seq + this.#offset;
  }

  seqOf(local: number): number {
    return local - this.#offset;
  }

  positionOf(local: number): Position {
    return { epoch: this.epoch, seq: this.seqOf(local) };
  }
}
