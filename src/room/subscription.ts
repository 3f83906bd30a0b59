/**
 * One member in one room: its position in the room's order, and the gaps and resets it has to be sent
 * for what it misses (V4). All numbers here are local (`term.ts`); events have the broker's numbers.
 */
import type { QueuePolicy } from '../options/config.js';
import type { Event, GapReason } from '../protocol/events.js';
import type { Member } from './member.js';
import type { Outbox } from './outbox.js';
import type { Stay } from './presence.js';
import type { Replay } from './replays.js';
import type { Term } from './term.js';

export class Subscription {
  // Fields that a delivery reads come first, to lie together in memory.
  readonly outbox: Outbox;
  /** New publications are offered to the member. */
  isLive = true;
  hasLeft = false;
  /** Cached permission, so that a publish need not ask. Updated whenever the identity changes. */
  mayPublish: boolean;
  /** All numbers up to here were offered to the member. */
  offered: number;
  /** All numbers up to here were handed to the transport or announced as a gap. */
  sent: number;
  /** Highest number lost to an overflow; distinguishes an `overflow` gap from a `conflated` one. */
  overflowed = 0;
  /** The replay in progress, during which the member is not live. */
  replay: Replay | null = null;
  /** Everything up to `#missedTo` that was not sent is missing for the reason `#missed`. */
  #missedTo = 0;
  #missed: GapReason = 'expired';
  /** Its presence entry; null if presence is off. */
  stay: Stay | null = null;
  /** Index in the room's member list; only `Room` modifies it. */
  index = -1;
  readonly member: Member;
  readonly room: string;
  readonly policy: QueuePolicy;
  /** The term of `sent`, or an earlier one. */
  #term: Term;

  /** `sent`: the member has everything up to this local number. */
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

  /** Marks everything up to `last` that was not sent as missing for `reason`. */
  miss(last: number, reason: GapReason): void {
    this.#missedTo = last;
    this.#missed = reason;
  }

  /** Releases the terms before `sent`; the member was told of all their resets. */
  catchUp(): void {
    while (this.sent > this.#term.end) this.#term = this.#term.next as Term;
  }

  /**
   * Moves `sent` to `to` and returns the events that announce what was skipped: gaps, and a reset for
   * each change of the epoch. `reason` overrides the noted reason.
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
    // Overflow drops the oldest or the newest, so its losses lie before everything still queued.
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

/** The event that tells members that the numbering continues in the term after `before`. */
export function resetEvent(room: string, before: Term, after: Term): Event {
  const was = before.positionOf(before.end);
  return { type: 'reset', room, ...after.positionOf(after.start), was };
}
