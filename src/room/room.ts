/**
 * One room: who is in it, what was published and not yet fanned out, and the fan-out itself.
 *
 * V1/V2: a flush copies the member list under a short read lock and works after releasing it; the
 * copy is kept until somebody joins or leaves. V4: a member is offered every publication from its
 * join to its leave, in order. V3: where too much waits, what comes is let go of whole, and is one growing hole
 * that is told in its place.
 *
 * Not here: who may join (`memberships.ts`) and the broker (`rooms.ts`), when a flush runs (`fan-out.ts`), what a
 * member is offered in it (`flush.ts`).
 */
import type { LossReason, Position, Publication } from '../broker/broker.js';
import type { CloseReason } from '../errors.js';
import { type Detector, RWLock } from '../lock/index.js';
import type { Event } from '../protocol/events.js';
import { nowMs } from '../time.js';
import type { Backlog } from './backlog.js';
import { Flush, type Pending } from './flush.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import { resetEvent, type Subscription } from './subscription.js';
import { Term } from './term.js';
import type { Trace } from './trace.js';

/** Most bytes of UTF-8 taken into one flush, or one message: bounds what is done for a single member before the clock is looked at. */
const FLUSH_BYTES = 64 * 1024;
/** Of a message as JSON, beside room and data: names of fields, number, time, publisher. */
const ENVELOPE_BYTES = 90;
/** Members offered between two looks at the clock, which costs about 40 ns each, and prefetched at once. */
const MEMBERS_A_LOOK = 16;

type Hole = Pending & { readonly content: Extract<Event, { type: 'gap' }> };
const isHole = (pending: Pending): pending is Hole =>
  'type' in pending.content && pending.content.type === 'gap';

/** Evictions a flush has found; carried out by whoever flushes, after the loop. */
export type Doomed = (member: Member, reason: CloseReason) => void;

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
  /** How many of those are gone and have yet to be taken out. */
  #departed = 0;
  /** Its epoch is empty until the broker has said anything of the room. */
  #term = new Term({ epoch: '', seq: 0 }, 0);
  /** Local number of what was last delivered to this node, or told of. */
  #last = 0;
  /** The epoch before this one: what is still delivered of it comes too late. */
  #formerEpoch: string | null = null;
  /** What a message has around its data, about. */
  readonly #envelopeBytes: number;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #flush: Flush | null = null;
  isSubscribed = false;
  /** Among the rooms with something to flush. */
  line: unknown = null;
  before: Room | null = null;
  after: Room | null = null;
  /** Set when the hub has let go of it: a join that waited for it starts over. */
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

  /** Of the last publication delivered to this node: a member that joins now gets everything after it. */
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

  /** Bytes of UTF-8 published and not yet taken by a flush. */
  get backlogBytes(): number {
    return this.#pendingBytes;
  }

  get isDirty(): boolean {
    return this.#flush !== null || this.#pending.length > 0;
  }

  /** The broker delivers from here on; what has overtaken this answer is later than it. */
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

  /** The member is gone: it counts no more, is offered nothing more, and is to be removed soon. */
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

  /** The members as they are now, and some that have left; the array is never written to again. */
  members(): readonly Subscription[] {
    return this.#lock.withReadSync('Room.members', () => {
      this.#snapshot ??= this.#members.slice();
      return this.#snapshot;
    });
  }

  /** Takes a publication in, or, when it is for nobody here, says false. O(1): no member is touched. */
  receive(publication: Publication): boolean {
    const { seq, epoch, key, data } = publication;
    if (!this.isSubscribed) {
      // It has overtaken the answer to the subscription: whoever joins, joins after it.
      this.#begin(publication);
      return false;
    }
    if (epoch !== this.epoch) {
      if (epoch === this.#formerEpoch) return false;
      this.reset({ epoch, seq: seq - 1 }, this.#term.positionOf(this.#last));
    }
    // A broker that repeats itself must not make a member see it (V4).
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

  /** What of the present epoch has not come up to `seq` will not come (V21). Says whether anything is lost. */
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

  /** The numbering goes on at `position`, in another epoch. Says whether there is anything to tell. */
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

  /** Offers what is pending to the members, until all is done (true) or `deadline` has passed. */
  flush(deadline: number, observer: Observer, doomed: Doomed, trace: Trace | null = null): boolean {
    const flush = this.#flush ?? this.#take(trace);
    if (flush === null) return true;
    const { members } = flush;
    let fannedOut = 0;
    while (flush.next < members.length) {
      if (flush.next % MEMBERS_A_LOOK === 0) flush.prefetch(MEMBERS_A_LOOK);
      const subscription = members[flush.next] as Subscription;
      flush.next += 1;
      const due = subscription.isLive ? flush.for(subscription) : null;
      if (due !== null) {
        const verdict = subscription.outbox.offer(subscription, due.batches);
        if (verdict !== null) doomed(subscription.member, verdict);
        if (flush.hasReset) subscription.catchUp();
        fannedOut += due.messages;
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

  /** Queues hold messages of many rooms: no two of them may share a key. */
  #keyOf(key: string | undefined): string | undefined {
    return key === undefined ? undefined : `${this.name.length}:${this.name}${key}`;
  }

  /** Nobody is in it yet: it is at `position`, whatever was before. */
  #begin(position: Position): void {
    this.#term = new Term(position, 0);
    this.#last = this.#term.start;
  }

  /** `content` stands for everything from `first` to the end; `bytes` are those of its data. */
  #append(first: number, content: Publication | Event, bytes = 0, key?: string): void {
    const acceptedAt = nowMs();
    const all = bytes + this.#envelopeBytes;
    this.#pending.push({ first, last: this.#last, key, acceptedAt, content, bytes: all });
    this.#count(all);
  }

  /** The hole that what waits ends in, out of it, where that may grow by what is missing for `reason`. */
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
