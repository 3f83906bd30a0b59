/**
 * One room: who is in it, what was published and not yet fanned out, and the fan-out itself.
 *
 * V1/V2: a flush copies the member list under a short read lock and works after releasing it; the
 * copy is kept until somebody joins or leaves. V4: a member is offered every publication from its
 * join to its leave, in order.
 *
 * Not here: who may join and the broker (`hub.ts`), when a flush runs (`fan-out.ts`), what a
 * member is offered in it (`flush.ts`).
 */
import type { Position, Publication } from '../broker/broker.js';
import type { CloseReason } from '../errors.js';
import { type Detector, RWLock } from '../lock/index.js';
import type { Codec } from '../protocol/codec.js';
import { nowMs } from '../time.js';
import { Flush, type Pending } from './flush.js';
import type { Member } from './member.js';
import type { Observer } from './observer.js';
import type { Subscription } from './subscription.js';

/** Most bytes of UTF-8 taken into one flush, or one message: bounds what is done for a single member before the clock is looked at. */
const FLUSH_BYTES = 64 * 1024;
/** Members offered between two looks at the clock, which costs about 40 ns each, and prefetched at once. */
const MEMBERS_A_LOOK = 16;

/** Evictions a flush has found; carried out by whoever flushes, after the loop. */
export type Doomed = (member: Member, reason: CloseReason) => void;

/** Bytes of UTF-8 that wait for the fan-out loop, in all rooms of a server. */
export interface Backlog {
  bytes: number;
}

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
  #epoch = '';
  #seq = 0;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #flush: Flush | null = null;
  isSubscribed = false;
  /** Set when the hub has let go of it: a join that waited for it starts over. */
  isGone = false;

  constructor(
    readonly name: string,
    private readonly backlog: Backlog,
    detector: Detector,
  ) {
    this.lifecycle = new RWLock({ name: 'room.lifecycle', key: name, detector });
    this.#lock = new RWLock({ name: 'room.members', key: name, detector });
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** Of the last publication delivered to this node: a member that joins now gets everything after it. */
  get seq(): number {
    return this.#seq;
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

  /** The broker delivers from here on. */
  subscribed({ seq, epoch }: Position): void {
    this.isSubscribed = true;
    this.#seq = this.#epoch === epoch ? Math.max(this.#seq, seq) : seq;
    this.#epoch = epoch;
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
  receive(publication: Publication, codec: Codec): boolean {
    const { seq, epoch, key } = publication;
    if (!this.isSubscribed) {
      // It has overtaken the answer to the subscription: whoever joins, joins after it.
      this.#seq = seq;
      this.#epoch = epoch;
      return false;
    }
    // A broker that repeats itself must not make a member see it (V4).
    if (seq <= this.#seq) return false;
    const acceptedAt = nowMs();
    if (seq > this.#seq + 1) {
      const from = this.#seq + 1;
      const to = seq - 1;
      const text = codec.encode({
        type: 'gap',
        room: this.name,
        from,
        to,
        count: to - from + 1,
        reason: 'broker',
      });
      this.#append({ seq: from, last: to, counted: false, key: undefined, acceptedAt, text });
    }
    this.#seq = seq;
    const text = codec.encodeMessage(publication);
    this.#append({ seq, last: seq, counted: true, key: this.#keyOf(key), acceptedAt, text });
    return true;
  }

  /** Offers what is pending to the members, until all is done (true) or `deadline` has passed. */
  flush(deadline: number, observer: Observer, doomed: Doomed): boolean {
    const flush = this.#flush ?? this.#begin();
    if (flush === null) return true;
    const { members } = flush;
    let fannedOut = 0;
    while (flush.next < members.length) {
      if (flush.next % MEMBERS_A_LOOK === 0) flush.prefetch(MEMBERS_A_LOOK);
      const subscription = members[flush.next] as Subscription;
      flush.next += 1;
      const due = subscription.hasLeft ? null : flush.for(subscription);
      if (due !== null) {
        const { member } = subscription;
        const verdict = member.offer(subscription, due.batches);
        if (verdict !== null) doomed(member, verdict);
        fannedOut += due.messages;
      }
      if (flush.next % MEMBERS_A_LOOK === 0 && nowMs() >= deadline) break;
    }
    observer.fannedOut(fannedOut);
    flush.settle(observer);
    if (flush.next < members.length) return false;
    this.#flush = null;
    return this.#pending.length === 0;
  }

  /** Queues hold messages of many rooms: no two of them may share a key. */
  #keyOf(key: string | undefined): string | undefined {
    return key === undefined ? undefined : `${this.name.length}:${this.name}${key}`;
  }

  #append(pending: Omit<Pending, 'bytes'>): void {
    const { seq, last, counted, key, acceptedAt, text } = pending;
    const bytes = Buffer.byteLength(text);
    this.#pending.push({ seq, last, counted, key, acceptedAt, text, bytes });
    this.#pendingBytes += bytes;
    this.backlog.bytes += bytes;
  }

  #begin(): Flush | null {
    if (this.#pending.length === 0) return null;
    let count = 0;
    let bytes = 0;
    while (count < this.#pending.length && (count === 0 || bytes < FLUSH_BYTES)) {
      bytes += (this.#pending[count] as Pending).bytes;
      count += 1;
    }
    const taken = count === this.#pending.length ? this.#pending : this.#pending.slice(0, count);
    this.#pending = count === this.#pending.length ? [] : this.#pending.slice(count);
    this.#pendingBytes -= bytes;
    this.backlog.bytes -= bytes;
    this.#flush = new Flush(this.name, this.members(), taken);
    return this.#flush;
  }
}
