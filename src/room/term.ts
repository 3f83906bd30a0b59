/**
 * The numbers of a room. At its broker they begin anew whenever the epoch changes; within a node they
 * only rise, so that queues, gaps and flushes need not know of epochs. A term is what lies between two
 * changes; each knows the next, and none is kept longer than a member is in it.
 */
import type { Position } from '../broker/broker.js';

export class Term {
  readonly epoch: string;
  /** Where it goes on: the local number of the position it began with. */
  readonly start: number;
  /** Local number of what was last in it. */
  end = Number.POSITIVE_INFINITY;
  next: Term | null = null;
  readonly #offset: number;

  /** `after`: the local number before it. */
  constructor({ epoch, seq }: Position, after: number) {
    this.epoch = epoch;
    this.#offset = after;
    this.start = this.localOf(seq);
  }

  /** The term that goes on from `position` where this one has ended, at `last`. */
  follow(position: Position, last: number): Term {
    this.end = last;
    // One number more, which no message has, for the change itself.
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
