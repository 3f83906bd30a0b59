/**
 * Tracks what one connection was owed and what it received. Checks every message of every member, not a
 * sample: with a numbering target, that room numbers rise and that a gap announces each hole; with any
 * target, that each publisher's messages arrive once and in order.
 * Checks the promise behind V4 from the client's side. Not here: latency (tally.ts).
 */

/** Counts of what a server must not do. Announced losses are allowed and not counted here. */
export interface Faults {
  /** Messages that arrived a second time. */
  duplicated: number;
  /** Messages that arrived after a later one. */
  reordered: number;
  /** Messages that never arrived and that no gap announced. */
  unannounced: number;
  /** Gaps that did not name exactly what was missing. */
  wrongGaps: number;
  /** Messages of rooms or publishers that the member never joined. */
  foreign: number;
  /** Messages whose payload is not what was published. */
  changed: number;
}

export function noFaults(): Faults {
  return { duplicated: 0, reordered: 0, unannounced: 0, wrongGaps: 0, foreign: 0, changed: 0 };
}

const UNKNOWN = -1;

export class Ledger {
  readonly #numbered: boolean;
  readonly #publishers: number;
  readonly #faults: Faults;
  /** Next expected message number of each publisher, by room slot and place within the room. */
  readonly #next: Float64Array;
  /** By room slot: the last number that arrived or was announced as missing. */
  readonly #last: Float64Array;
  /** By room slot: the last number that a gap named. */
  readonly #named: Float64Array;
  /** The latest unannounced hole, `[from, to)`; distinguishes a late message from a repeated one. */
  #holeFrom = 0;
  #holeTo = 0;

  /** @param numbered whether the target numbers messages and announces gaps */
  constructor(numbered: boolean, rooms: number, publishersPerRoom: number, faults: Faults) {
    this.#numbered = numbered;
    this.#publishers = publishersPerRoom;
    this.#faults = faults;
    this.#next = new Float64Array(rooms * publishersPerRoom).fill(UNKNOWN);
    this.#last = new Float64Array(rooms).fill(UNKNOWN);
    this.#named = new Float64Array(rooms).fill(UNKNOWN);
  }

  /**
   * The member has joined a room.
   * @param seq the room's last number before the join, or -1
   * @param fromStart true if nothing has been published yet, so that the first message is owed too
   */
  joined(room: number, seq: number, fromStart: boolean): void {
    this.#last[room] = seq;
    this.#named[room] = UNKNOWN;
    const first = room * this.#publishers;
    this.#next.fill(fromStart ? 0 : UNKNOWN, first, first + this.#publishers);
  }

  /** The last number of a room that arrived or was announced as missing. */
  last(room: number): number {
    return this.#last[room]!;
  }

  /** By place of the publisher within the room: its next expected message number, -1 if unknown. */
  nextOf(room: number): Float64Array {
    const first = room * this.#publishers;
    return this.#next.slice(first, first + this.#publishers);
  }

  /** @param place of the publisher within the room; @param number its own count */
  message(room: number, place: number, number: number, seq: number): void {
    const slot = room * this.#publishers + place;
    const next = this.#next[slot]!;
    if (this.#numbered) {
      const last = this.#last[room]!;
      if (seq === last + 1 || last === UNKNOWN) this.#last[room] = seq;
      else if (!this.#hole(seq, last + 1)) return;
      else this.#last[room] = seq;
      if (number < next) this.#faults.reordered++;
      else this.#next[slot] = number + 1;
    } else if (number === next || next === UNKNOWN || this.#hole(number, next)) {
      this.#next[slot] = number + 1;
    }
  }

  /** Records a gap; returns how many messages it accounts for. */
  gap(room: number, from: number, to: number): number {
    const last = this.#last[room]!;
    if (from !== last + 1 || to < from) this.#faults.wrongGaps++;
    this.#named[room] = to;
    if (to <= last) return 0;
    this.#last[room] = to;
    return to - last;
  }

  /**
   * Number of messages neither received nor announced, once publishing has stopped.
   * @param finals the last number of each of the member's rooms (numbering target), or the number of
   *   messages that each of their publishers sent, in the order of room slots
   * @param owesLast the member was present for the last messages, so that it is owed at least one from
   *   a publisher (or in a room) from which nothing has arrived
   */
  owed(finals: readonly number[], owesLast: boolean): number {
    let owed = 0;
    const seen = this.#numbered ? this.#last : this.#next;
    for (let i = 0; i < seen.length; i++) {
      if (seen[i] !== UNKNOWN) owed += Math.max(0, finals[i]! - seen[i]!);
      else if (owesLast) owed += Math.min(1, finals[i]!);
    }
    return owed;
  }

  /**
   * Publishing has stopped: counts gaps that name messages which were never published.
   * @param finals the last number of each of the member's rooms, in the order of room slots
   */
  end(finals: readonly number[]): void {
    for (const [room, last] of finals.entries()) {
      if (this.#named[room]! > last) this.#faults.wrongGaps++;
    }
  }

  /** Records an unexpected number; returns whether it is ahead of the expected one. */
  #hole(got: number, expected: number): boolean {
    if (got > expected) {
      this.#faults.unannounced += got - expected;
      this.#holeFrom = expected;
      this.#holeTo = got;
      return true;
    }
    if (got >= this.#holeFrom && got < this.#holeTo) {
      this.#faults.reordered++;
      this.#faults.unannounced--;
    } else this.#faults.duplicated++;
    return false;
  }
}
