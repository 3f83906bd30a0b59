/**
 * One room: its members, the publications waiting for fan-out, and the flush that offers them.
 *
 * V1/V2: a flush copies the member list under a short read lock and works after releasing it; the copy
 * is reused until a member joins or leaves. V4: a member is offered every publication from its join to
 * its leave, in order. V3: past the backlog bound, incoming publications are dropped, and one growing
 * gap takes their place in the order.
 *
 * Not here: permission to join (`memberships.ts`), the broker (`rooms.ts`), when a flush runs
 * (`fan-out.ts`), what a flush offers each member (`flush.ts`).
 */
import type { LossReason, Position, Publication } from '../broker/broker.js';
import type { CloseReason } from '../errors.js';
import { type Detector, RWLock } from '../lock/index.js';
import type { Event } from '../protocol/events.js';
import { survive } from '../survived.js';
import { nowMs } from '../time.js';
import type { Backlog } from './backlog.js';
import { Flush, type Pending } from './flush.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import { resetEvent, type Subscription } from './subscription.js';
import { Term } from './term.js';
import type { Trace } from './trace.js';

/**
 * Maximum bytes of UTF-8 in one flush, unless a single message is larger. Bounds the work done for one
 * member between two looks at the clock.
 */
const FLUSH_BYTES = 64 * 1024;
/** Estimated JSON bytes of a message besides room and data: field names, number, time, publisher. */
const ENVELOPE_BYTES = 90;
/**
 * Members offered between two looks at the clock, which cost about 40 ns each; also prefetched together.
 */
const MEMBERS_A_LOOK = 16;

type Hole = Pending & { readonly content: Extract<Event, { type: 'gap' }> };
const isHole = (pending: Pending): pending is Hole =>
  'type' in pending.content && pending.content.type === 'gap';

/** Reports a member to evict. The caller of the flush evicts it after the loop. */
export type EvictLater = (member: Member, reason: CloseReason) => void;

export class Room {
  /**
   * Guards whether the room is subscribed at the broker: first join and last leave hold it for
   * writing across broker I/O, every other join for reading. Taken before `room.members`.
   */
  readonly lifecycle: RWLock;
  /** Guards the member list. Never held across anything that could wait (V2). */
  readonly #lock: RWLock;
  readonly #members: Subscription[] = [];
  /** The members as of the last join or leave, or null when that is not copied yet. */
  #snapshot: readonly Subscription[] | null = null;
  /** Number of entries in `#members` that have departed but are not removed yet. */
  #departed = 0;
  /** The current term. Its epoch is empty until the broker first reports a position for the room. */
  #term = new Term({ epoch: '', seq: 0 }, 0);
  /** Local number of the last publication that was delivered to this node or reported as lost. */
  #last = 0;
  /** The previous epoch. Publications of it that arrive late are ignored. */
  #formerEpoch: string | null = null;
  /** Estimated bytes of a message around its data, room name included. */
  readonly #envelopeBytes: number;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #flush: Flush | null = null;
  isSubscribed = false;
  /** Links of the list of rooms with something to flush (`line.ts`). */
  line: unknown = null;
  before: Room | null = null;
  after: Room | null = null;
  /** Set when the directory has dropped the room; a join that waited for it starts over. */
  isGone = false;

  constructor(
    readonly name: string,
    private readonly backlog: Backlog,
    private readonly observer: Pick<Observer, 'brokerLost' | 'brokerReset'>,
    detector: Detector,
  ) {
    this.lifecycle = new RWLock({ name: 'room.lifecycle', key: name, detector });
    this.#lock = new RWLock({ name: 'room.members', key: name, detector });
    this.#envelopeBytes = ENVELOPE_BYTES + name.length;
  }

  get epoch(): string {
    return this.#term.epoch;
  }

  /** Sequence number of the last publication delivered to this node. New members get every later one. */
  get seq(): number {
    return this.#term.seqOf(this.#last);
  }

  get term(): Term {
    return this.#term;
  }

  /** The same as `seq`, as a local number. */
  get last(): number {
    return this.#last;
  }

  get size(): number {
    return this.#members.length - this.#departed;
  }

  /** Bytes of UTF-8 waiting to be taken by a flush. */
  get backlogBytes(): number {
    return this.#pendingBytes;
  }

  get isDirty(): boolean {
    return this.#flush !== null || this.#pending.length > 0;
  }

  /**
   * The broker has confirmed the subscription at this position. Publications that arrived before the
   * confirmation may have moved the room past it.
   */
  subscribed({ seq, epoch }: Position): void {
    this.isSubscribed = true;
    if (this.epoch !== '' && this.epoch !== epoch) return;
    this.#begin({ epoch, seq: Math.max(this.seq, seq) });
  }

  add(subscription: Subscription): void {
    this.#lock.withWriteSync('Room.add', () => {
      subscription.index = this.#members.length;
      this.#members.push(subscription);
      this.#snapshot = null;
    });
  }

  /** The member has disconnected: it no longer counts and is offered nothing. `remove` follows soon. */
  depart(subscription: Subscription): void {
    subscription.hasLeft = true;
    subscription.isLive = false;
    this.#departed += 1;
  }

  remove(subscription: Subscription): void {
    if (subscription.hasLeft) this.#departed -= 1;
    this.#lock.withWriteSync('Room.remove', () => {
      const last = this.#members.pop() as Subscription;
      if (last !== subscription) {
        last.index = subscription.index;
        this.#members[last.index] = last;
      }
      this.#snapshot = null;
    });
  }

  /** Snapshot of the members; may include some that have departed. The array is never modified. */
  members(): readonly Subscription[] {
    return this.#lock.withReadSync('Room.members', () => {
      this.#snapshot ??= this.#members.slice();
      return this.#snapshot;
    });
  }

  /** Queues a publication for fan-out; false if there is nothing to flush. O(1): touches no member. */
  receive(publication: Publication): boolean {
    const { seq, epoch, key, data } = publication;
    if (!this.isSubscribed) {
      // Delivered before the broker confirmed the subscription: a member that joins now joins after it.
      this.#begin(publication);
      return false;
    }
    if (epoch !== this.epoch) {
      if (epoch === this.#formerEpoch) return false;
      this.reset({ epoch, seq: seq - 1 }, this.#term.positionOf(this.#last));
    }
    // A publication that the broker delivers twice must not reach a member twice (V4).
    if (seq <= this.seq) return false;
    this.lost(seq - 1);
    if (this.backlog.isOver(this.#pendingBytes)) {
      this.observer.brokerLost(1);
      return this.lost(seq, 'node');
    }
    this.#last += 1;
    this.#append(this.#last, publication, Buffer.byteLength(data), this.#keyOf(key));
    return true;
  }

  /**
   * Publications of the current epoch up to `seq` that have not arrived are lost (V21). Queues a gap for
   * them; returns whether there are any.
   */
  lost(seq: number, reason: LossReason = 'broker'): boolean {
    if (seq <= this.seq) return false;
    if (!this.isSubscribed) {
      this.#begin({ epoch: this.epoch, seq });
      return false;
    }
    if (reason === 'broker') this.observer.brokerLost(seq - this.seq);
    const hole = this.backlog.isOver(this.#pendingBytes) ? this.#takeHole(reason) : null;
    const first = hole?.first ?? this.#last + 1;
    const from = this.#term.seqOf(first);
    this.#last = this.#term.localOf(seq);
    const count = seq - from + 1;
    this.#append(first, {
      type: 'gap',
      room: this.name,
      from,
      to: seq,
      count,
      reason: hole?.content.reason ?? reason,
    });
    return true;
  }

  /** The numbering continues at `position`, in another epoch. Returns whether to tell the members. */
  reset(position: Position, was: Position): boolean {
    if (!this.isSubscribed) {
      this.#begin(position);
      return false;
    }
    if (position.epoch === this.epoch) return this.lost(position.seq);
    if (was.epoch === this.epoch) this.lost(was.seq);
    const before = this.#term;
    const first = this.#last + 1;
    this.#term = before.follow(position, this.#last);
    this.#last = this.#term.start;
    this.#formerEpoch = before.epoch;
    this.observer.brokerReset();
    this.#append(first, resetEvent(this.name, before, this.#term));
    return true;
  }

  /**
   * Offers the pending publications to the members. Returns false if `deadline` passed before the end.
   */
  flush(
    deadline: number,
    observer: Observer,
    evictLater: EvictLater,
    trace: Trace | null = null,
  ): boolean {
    const flush = this.#flush ?? this.#take(trace);
    if (flush === null) return true;
    const { members } = flush;
    let fannedOut = 0;
    while (flush.next < members.length) {
      if (flush.next % MEMBERS_A_LOOK === 0) flush.prefetch(MEMBERS_A_LOOK);
      const subscription = members[flush.next] as Subscription;
      flush.next += 1;
      // V12: a failure ends only the member that it concerns, which would miss messages without a gap.
      try {
        const due = subscription.isLive ? flush.for(subscription) : null;
        if (due !== null) {
          const verdict = subscription.outbox.offer(subscription, due.batches);
          if (verdict !== null) evictLater(subscription.member, verdict);
          if (flush.hasReset) subscription.catchUp();
          fannedOut += due.messages;
        }
      } catch (error) {
        survive(error);
        evictLater(subscription.member, 'internal_error');
      }
      if (flush.next % MEMBERS_A_LOOK === 0 && nowMs() >= deadline) break;
    }
    observer.fannedOut(fannedOut);
    flush.settle(observer);
    if (flush.next < members.length) return false;
    flush.delivered?.();
    this.#flush = null;
    return this.#pending.length === 0;
  }

  /** A queue holds messages of many rooms, so the same key in two rooms must give two different keys. */
  #keyOf(key: string | undefined): string | undefined {
    return key === undefined ? undefined : `${this.name.length}:${this.name}${key}`;
  }

  /** Starts the numbering at `position`, whatever it was. Only called while no member is in the room. */
  #begin(position: Position): void {
    this.#term = new Term(position, 0);
    this.#last = this.#term.start;
  }

  /**
   * `content` takes the place of everything from `first` to `#last`; `bytes` is the size of its data.
   */
  #append(first: number, content: Publication | Event, bytes = 0, key?: string): void {
    const acceptedAt = nowMs();
    const all = bytes + this.#envelopeBytes;
    this.#pending.push({ first, last: this.#last, key, acceptedAt, content, bytes: all });
    this.#count(all);
  }

  /** Removes and returns the gap at the end of the backlog, if it may grow by a loss for `reason`. */
  #takeHole(reason: LossReason): Hole | null {
    const last = this.#pending.at(-1);
    if (last === undefined || !isHole(last)) return null;
    if (last.content.reason !== 'node' && last.content.reason !== reason) return null;
    this.#pending.pop();
    this.#count(-last.bytes);
    return last;
  }

  #count(bytes: number): void {
    this.#pendingBytes += bytes;
    this.backlog.bytes += bytes;
  }

  #take(trace: Trace | null): Flush | null {
    if (this.#pending.length === 0) return null;
    let count = 0;
    let bytes = 0;
    while (count < this.#pending.length && (count === 0 || bytes < FLUSH_BYTES)) {
      bytes += (this.#pending[count] as Pending).bytes;
      count += 1;
    }
    const taken = count === this.#pending.length ? this.#pending : this.#pending.slice(0, count);
    this.#pending = count === this.#pending.length ? [] : this.#pending.slice(count);
    this.#count(-bytes);
    this.#flush = new Flush(this.name, this.members(), taken, trace);
    return this.#flush;
  }
}
