/**
 * A subscriber ("guest") of a room at the worker that owns it: the owner itself, or another worker over
 * a link. A `Place` knows the position it was sent last, so that each publication is sent once, in
 * order, and shed ones are announced exactly (V20, V21, V23).
 */
import type { LossReason, Position, Publication } from '../broker.js';

/** The outgoing side of a subscriber. */
export interface Way {
  /** True while its queue is over the bound; nothing is sent until `Place.catchUp` is called. */
  readonly isFull: boolean;
  /** Delivery begins after `position`, or continues from what was sent before. */
  opened(place: Place, position: Position): void;
  message(place: Place, publication: Publication): void;
  lost(place: Place, to: number, reason: LossReason): void;
  reset(place: Place, position: Position, was: Position): void;
  /** The place has dropped something: call its `catchUp` once the queue is no longer full. */
  shed(place: Place): void;
  /** Counts dropped messages as they are announced. */
  count(lost: number): void;
}

export class Place {
  readonly #way: Way;
  /** Number of the room on its link; 0 without a link. */
  readonly number: number;
  /** Epoch sent last; empty before any. */
  epoch: string;
  sent: number;
  /** Position after which delivery began, for a subscriber without `since`; null until known. */
  began: Position | null = null;
  isOpen = false;
  isGone = false;
  #isShed = false;

  /** `since`: the subscriber already has everything up to this position. */
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

  /** Answers the subscriber with the room's position, once. */
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
    // The publication has overtaken the broker's answer to the first subscription.
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

  /** Announces what was dropped; the room is now at `position`. */
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
