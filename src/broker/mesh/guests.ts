/**
 * Somebody who wants a room at its owner: this worker itself, or another one over a link. A place knows
 * what its guest has been told, so that each publication is passed on once, in order, and what is let
 * go of is told exactly (V20, V21, V23).
 */
import type { LossReason, Position, Publication } from '../broker.js';

/** What is told of a room, the way there. */
export interface Way {
  /** More waits on it than may: nothing is told until `Place.catchUp` is called. */
  readonly isFull: boolean;
  /** Delivery begins after `position`, or follows what was told before. */
  opened(place: Place, position: Position): void;
  message(place: Place, publication: Publication): void;
  lost(place: Place, to: number, reason: LossReason): void;
  reset(place: Place, position: Position, was: Position): void;
  /** The place has let go of something: its way is to call `catchUp` once it is not full. */
  shed(place: Place): void;
  /** Messages that were let go of, as they are told. */
  count(lost: number): void;
}

export class Place {
  readonly #way: Way;
  /** Of the room on its way; 0 where it has none. */
  readonly number: number;
  /** Of what was told last; empty before anything was. */
  epoch: string;
  sent: number;
  /** Where what is told begins, once that is known, for a guest that came without a position. */
  began: Position | null = null;
  isOpen = false;
  isGone = false;
  #isShed = false;

  /** `since`: the guest has had everything up to there. */
  constructor(
    readonly room: string,
    way: Way,
    number: number,
    since?: Position,
  ) {
    this.#way = way;
    this.number = number;
    this.epoch = since?.epoch ?? '';
    this.sent = since?.seq ?? 0;
  }

  /** The room is at `position`: the answer to who has opened it, once. */
  opened(position: Position): void {
    if (this.isOpen) return;
    this.isOpen = true;
    if (this.epoch === '') {
      this.epoch = position.epoch;
      this.sent = position.seq;
      this.began = position;
    }
    this.#way.opened(this, position);
  }

  message(publication: Publication): void {
    const { epoch, seq } = publication;
    // It has overtaken the answer of the broker to the first subscription.
    if (this.epoch === '') this.opened({ epoch, seq: seq - 1 });
    if (this.epoch === epoch && seq <= this.sent) return;
    const way = this.#way;
    if (way.isFull) {
      this.#shed();
      return;
    }
    const before = { epoch, seq: seq - 1 };
    if (this.#isShed) this.catchUp(before);
    else if (this.epoch !== epoch) this.reset(before);
    way.message(this, publication);
    this.sent = seq;
  }

  lost(to: number, reason: LossReason): void {
    if (this.epoch === '' || to <= this.sent) return;
    if (this.#way.isFull) {
      this.#shed();
      return;
    }
    this.#way.lost(this, to, reason);
    this.sent = to;
  }

  reset(position: Position): void {
    if (this.epoch === '' || this.epoch === position.epoch) return;
    if (this.#way.isFull) {
      this.#shed();
      return;
    }
    this.#way.reset(this, position, { epoch: this.epoch, seq: this.sent });
    this.epoch = position.epoch;
    this.sent = position.seq;
  }

  /** Tells what was let go of: the room is at `position` now. */
  catchUp(position: Position): void {
    if (!this.#isShed) return;
    this.#isShed = false;
    if (position.epoch !== this.epoch) {
      this.reset(position);
      return;
    }
    if (position.seq <= this.sent) return;
    this.#way.count(position.seq - this.sent);
    this.lost(position.seq, 'node');
  }

  #shed(): void {
    if (this.#isShed) return;
    this.#isShed = true;
    this.#way.shed(this);
  }
}
