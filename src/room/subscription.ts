/**
 * One member in one room: how far it has come in the room's order, and what it has to be told of what
 * it misses (V4). All numbers here are local (`term.ts`); what is told has those of the broker.
 */
import type { QueuePolicy } from '../options/config.js';
import type { Event, GapReason } from '../protocol/events.js';
import type { Member } from './member.js';
import type { Outbox } from './outbox.js';
import type { Stay } from './presence.js';
import type { Replay } from './replays.js';
import type { Term } from './term.js';

export class Subscription {
  // First what a delivery looks at, so that it lies together.
  readonly outbox: Outbox;
  /** It is offered what is published. */
  isLive = true;
  hasLeft = false;
  /** Asked once, here and whenever what the member may has changed: a publish only looks at it. */
  mayPublish: boolean;
  /** Everything up to here was offered to the member. */
  offered: number;
  /** Everything up to here was handed to the transport or announced. */
  sent: number;
  /** The highest number an overflow has cost: tells an `overflow` gap from a `conflated` one. */
  overflowed = 0;
  /** On its way through what it has missed, and not live meanwhile. */
  replay: Replay | null = null;
  /** What it has not had of everything up to here it misses for that reason. */
  #missedTo = 0;
  #missed: GapReason = 'expired';
  /** Who it is there, where that is told. */
  stay: Stay | null = null;
  /** Place in the room's member list; only `Room` touches it. */
  index = -1;
  readonly member: Member;
  readonly room: string;
  readonly policy: QueuePolicy;
  /** The term `sent` lies in, or an earlier one. */
  #term: Term;

  /** `sent`: it has had everything up to there. */
  constructor(member: Member, room: string, policy: QueuePolicy, term: Term, sent: number) {
    this.outbox = member.outbox;
    this.member = member;
    this.room = room;
    this.policy = policy;
    this.mayPublish = member.identity.may('publish', room);
    this.#term = term;
    this.sent = sent;
    this.offered = sent;
  }

  /** What it has not had up to `last` it is not going to have. */
  miss(last: number, reason: GapReason): void {
    this.#missedTo = last;
    this.#missed = reason;
  }

  /** The member has been told everything up to `sent`: lets go of terms before that. */
  catchUp(): void {
    while (this.sent > this.#term.end) this.#term = this.#term.next as Term;
  }

  /**
   * Goes on to `to` without what lies between, and returns what the member has to be told for it: gaps,
   * and each change of the epoch. `reason` in place of why it was missed.
   */
  skip(to: number, reason?: GapReason): Event[] {
    const events: Event[] = [];
    this.catchUp();
    while (to > this.#term.end) {
      const { end } = this.#term;
      const next = this.#term.next as Term;
      this.#gaps(end, reason, events);
      events.push(resetEvent(this.room, this.#term, next));
      this.sent = next.start;
      this.#term = next;
    }
    this.#gaps(to, reason, events);
    return events;
  }

  #gaps(to: number, reason: GapReason | undefined, events: Event[]): void {
    if (reason === undefined && this.sent < this.#missedTo) {
      this.#gap(Math.min(to, this.#missedTo), this.#missed, events);
    }
    // Overflow takes the oldest or the newest, so what it cost lies before all that is still queued.
    this.#gap(to, reason ?? (this.overflowed > this.sent ? 'overflow' : 'conflated'), events);
  }

  #gap(last: number, reason: GapReason, events: Event[]): void {
    if (last <= this.sent) return;
    const count = last - this.sent;
    const to = this.#term.seqOf(last);
    events.push({ type: 'gap', room: this.room, from: to - count + 1, to, count, reason });
    this.sent = last;
  }
}

/** What the members of a room are told when its numbering goes on in the term after `before`. */
export function resetEvent(room: string, before: Term, after: Term): Event {
  const was = before.positionOf(before.end);
  return { type: 'reset', room, ...after.positionOf(after.start), was };
}
