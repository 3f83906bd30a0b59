/**
 * One room: who is in it, what was published and not yet fanned out, and the fan-out itself.
 *
 * V1/V2: a flush copies the member list under a short read lock and works after releasing it; the
 * copy is kept until somebody joins or leaves. V4: a member is offered every publication from its
 * join to its leave, in order. V6: a message is framed once an encoding and joined once a framing.
 *
 * Not here: who may join and the broker (`hub.ts`), when a flush runs (`fan-out.ts`).
 */
import type { Position, Publication } from '../broker/broker.js';
import type { CloseReason } from '../errors.js';
import { RWLock } from '../lock/index.js';
import type { Codec } from '../protocol/codec.js';
import type { Framing } from '../transport/transport.js';
import { Batch, countMessages, Frame } from './frame.js';
import { BATCH_BYTES, type Member } from './member.js';
import type { Observer } from './observer.js';
import type { Subscription } from './subscription.js';

/** Most text taken into one flush: bounds what is done for a single member before the clock is looked at. */
const FLUSH_BYTES = 64 * 1024;
/** Members offered between two looks at the clock, which costs about 40 ns each. */
const MEMBERS_A_LOOK = 16;

/** Evictions a flush has found; carried out by whoever flushes, after the loop. */
export type Doomed = (member: Member, reason: CloseReason) => void;

/** A message, or a hole of the broker's, waiting for the next flush. */
interface Pending {
  readonly seq: number;
  readonly last: number;
  readonly counted: boolean;
  readonly key: string | undefined;
  readonly acceptedAt: number;
  readonly text: string;
}

/** One flush on its way through a snapshot; larger rooms take several turns of the loop. */
class Flush {
  /** Next place in `members`. */
  next = 0;
  readonly messages: number;
  readonly #frames: Frame[][] = [];
  readonly #batches: Batch[][] = [];

  constructor(
    readonly room: string,
    readonly members: readonly Subscription[],
    readonly pending: readonly Pending[],
  ) {
    this.messages = pending.reduce((count, { counted }) => count + (counted ? 1 : 0), 0);
  }

  /** The messages as this framing writes them, in batches of at most `BATCH_BYTES`. */
  batches(framing: Framing): readonly Batch[] {
    const made = this.#batches[framing.index];
    if (made !== undefined) return made;
    const batches: Batch[] = [];
    let frames: Frame[] = [];
    let bytes = 0;
    const cut = () => {
      const parts = frames.map((frame) => frame.bytes);
      batches.push(new Batch(frames, countMessages(frames), framing.join(parts, bytes)));
    };
    for (const frame of this.#framesFor(framing)) {
      if (bytes > 0 && bytes + frame.bytes.length > BATCH_BYTES) {
        cut();
        frames = [];
        bytes = 0;
      }
      frames.push(frame);
      bytes += frame.bytes.length;
    }
    cut();
    this.#batches[framing.index] = batches;
    return batches;
  }

  /** Counts the members that have had whole batches since the last call. */
  settle(observer: Observer, now: number): void {
    this.#batches.forEach((batches, transport) => {
      for (const batch of batches) {
        const { toHealthy, toSlow } = batch;
        if (toHealthy + toSlow === 0) continue;
        batch.toHealthy = 0;
        batch.toSlow = 0;
        observer.sentBytes(transport, batch.bytes.length * (toHealthy + toSlow));
        for (const frame of batch.frames) {
          if (!frame.counted) continue;
          const seconds = (now - frame.acceptedAt) / 1000;
          if (toHealthy > 0) {
            observer.delivered(transport, false, seconds, toHealthy);
            observer.queueWaited(transport, false, seconds, toHealthy);
          }
          if (toSlow > 0) {
            observer.delivered(transport, true, seconds, toSlow);
            observer.queueWaited(transport, true, seconds, toSlow);
          }
        }
      }
    });
  }

  #framesFor({ encoding }: Framing): readonly Frame[] {
    const made = this.#frames[encoding.index];
    if (made !== undefined) return made;
    const frames = this.pending.map(
      ({ seq, last, counted, key, acceptedAt, text }) =>
        new Frame(this.room, seq, last, counted, key, acceptedAt, encoding.encode(text)),
    );
    this.#frames[encoding.index] = frames;
    return frames;
  }
}

/** Bytes of text that wait for the fan-out loop, in all rooms of a server. */
export interface Backlog {
  bytes: number;
}

export class Room {
  /**
   * Guards whether the room is subscribed at the broker: first join and last leave hold it for
   * writing across broker I/O, every other join for reading. Taken before `room.members`.
   */
  readonly lifecycle = new RWLock({ name: 'room.lifecycle' });
  /** Guards the member list. Never held across anything that could wait (V2). */
  readonly #lock = new RWLock({ name: 'room.members' });
  readonly #members: Subscription[] = [];
  /** The members as of the last join or leave, or null when that is not copied yet. */
  #snapshot: readonly Subscription[] | null = null;
  #epoch = '';
  /** Of the last publication delivered to this node. */
  #seq = 0;
  /** Of the last publication a flush has taken: where a join begins. */
  #flushedSeq = 0;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #flush: Flush | null = null;
  isSubscribed = false;
  /** Set when the hub has let go of it: a join that waited for it starts over. */
  isGone = false;

  constructor(
    readonly name: string,
    private readonly backlog: Backlog,
  ) {}

  get epoch(): string {
    return this.#epoch;
  }

  get seq(): number {
    return this.#seq;
  }

  get size(): number {
    return this.#members.length;
  }

  /** Bytes of text published and not yet taken by a flush. */
  get backlogBytes(): number {
    return this.#pendingBytes;
  }

  get isDirty(): boolean {
    return this.#flush !== null || this.#pending.length > 0;
  }

  /** The broker delivers from here on. */
  subscribed({ seq, epoch }: Position): void {
    this.isSubscribed = true;
    this.#epoch = epoch;
    this.#seq = seq;
    this.#flushedSeq = seq;
  }

  /** Where a member that joins now begins: it gets everything after this. */
  get joinSeq(): number {
    return this.#flushedSeq;
  }

  add(subscription: Subscription): void {
    this.#lock.withWriteSync('Room.add', () => {
      subscription.index = this.#members.length;
      this.#members.push(subscription);
      this.#snapshot = null;
    });
  }

  remove(subscription: Subscription): void {
    this.#lock.withWriteSync('Room.remove', () => {
      const last = this.#members.pop() as Subscription;
      if (last !== subscription) {
        last.index = subscription.index;
        this.#members[last.index] = last;
      }
      this.#snapshot = null;
    });
  }

  /** The members as they are now; the array is never written to again. */
  members(): readonly Subscription[] {
    return this.#lock.withReadSync('Room.members', () => {
      this.#snapshot ??= this.#members.slice();
      return this.#snapshot;
    });
  }

  /** Takes a publication in. O(1): no member is touched. */
  receive(publication: Publication, codec: Codec): void {
    const { seq, key } = publication;
    const acceptedAt = performance.now();
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
    this.#append({ seq, last: seq, counted: true, key, acceptedAt, text });
  }

  /** Offers what is pending to the members, until all is done (true) or `deadline` has passed. */
  flush(deadline: number, observer: Observer, doomed: Doomed): boolean {
    const flush = this.#flush ?? this.#begin();
    if (flush === null) return true;
    const { members } = flush;
    let offered = 0;
    let now = 0;
    while (flush.next < members.length) {
      const subscription = members[flush.next] as Subscription;
      flush.next += 1;
      if (!subscription.hasLeft) {
        const { member } = subscription;
        const verdict = member.offer(subscription, flush.batches(member.transport.framing));
        if (verdict !== null) doomed(member, verdict);
        offered += 1;
      }
      if (flush.next % MEMBERS_A_LOOK === 0) {
        now = performance.now();
        if (now >= deadline) break;
      }
    }
    observer.fannedOut(offered * flush.messages);
    flush.settle(observer, performance.now());
    if (flush.next < members.length) return false;
    this.#flush = null;
    return this.#pending.length === 0;
  }

  #append(pending: Pending): void {
    this.#pending.push(pending);
    this.#pendingBytes += pending.text.length;
    this.backlog.bytes += pending.text.length;
  }

  #begin(): Flush | null {
    if (this.#pending.length === 0) return null;
    let count = 0;
    let bytes = 0;
    while (count < this.#pending.length && (count === 0 || bytes < FLUSH_BYTES)) {
      bytes += (this.#pending[count] as Pending).text.length;
      count += 1;
    }
    const taken = count === this.#pending.length ? this.#pending : this.#pending.slice(0, count);
    this.#pending = count === this.#pending.length ? [] : this.#pending.slice(count);
    this.#pendingBytes -= bytes;
    this.backlog.bytes -= bytes;
    this.#flushedSeq = (taken[taken.length - 1] as Pending).last;
    this.#flush = new Flush(this.name, this.members(), taken);
    return this.#flush;
  }
}
