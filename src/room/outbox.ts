/**
 * What is on its way to one member: a queue for each policy it has fallen behind under, and what of that,
 * of replies and of what it reads again goes next.
 *
 * V1: `offer` is synchronous and touches nobody else. V3: queues are bounded, on every transport. V5:
 * control frames go before data. V10: every message offered is counted once, as what became of it.
 *
 * Not here: the batch outstanding (`sender.ts`), what the member is told of losses (`losses.ts`), what goes
 * beside what is live (`cursors.ts`), what the member's health is and when it is evicted (`member.ts`).
 */
import type { CloseReason } from '../errors.js';
import type { QueuePolicy } from '../options/config.js';
import type { Codec } from '../protocol/codec.js';
import type { Event, GapReason } from '../protocol/events.js';
import type { Transport } from '../transport/transport.js';
import type { ControlLane } from './control-lane.js';
import { type Cursor, Cursors } from './cursors.js';
import type { Format, Formats } from './format.js';
import { Batch, countMessages, type Frame } from './frame.js';
import { Losses, type LossesContext, type Recipient } from './losses.js';
import { Queues } from './queues.js';
import { Sender, type SenderContext } from './sender.js';
import type { Subscription } from './subscription.js';
import type { Watch } from './watch.js';

/**
 * Most bytes handed to a transport at once, unless a single message is larger. Small enough to
 * see a slow peer move, large enough that the system call is a fraction of the cost.
 */
export const BATCH_BYTES = 16 * 1024;

const NOTHING = Buffer.alloc(0);

export interface OutboxContext extends SenderContext, LossesContext {
  readonly codec: Codec;
  readonly formats: Formats;
}

/** The member whose outbox it is. */
export interface Owner extends Recipient {
  readonly isHealthy: boolean;
  /** Messages were dropped for it of late. */
  readonly isShedding: boolean;
  /** There is something the transport has not taken. */
  fellBehind(): void;
  /** Has it drained at the end of this turn of the loop. */
  wake(): void;
  /** A queue under `disconnect` is full. Returns the reason when the member has to be evicted now. */
  isFull(policy: QueuePolicy): CloseReason | null;
}

export class Outbox {
  /** Set from when something waits until the member is drained and healthy again; see `Member.check`. */
  isBehind = false;
  /**
   * Nothing is queued or outstanding, so that a batch may go straight to the transport. False a
   * little longer at times, never true too long: one flag that spares each delivery to a healthy
   * member a look at four objects that the processor's caches have long let go of.
   */
  #isClear = true;
  readonly transport: Transport;
  /** Of everything it sends. */
  readonly format: Format;
  /** The same for members that get the same batches. */
  readonly kind: number;
  readonly #context: OutboxContext;
  readonly #owner: Owner;
  readonly #control: ControlLane;
  readonly queues: Queues;
  readonly #losses: Losses;
  readonly #sender: Sender;
  /** Null until something goes beside what is live, as to most members. */
  #cursors: Cursors | null = null;
  /** Nothing more is handed over. */
  #isShut = false;
  /** Messages it was abandoned with. */
  #abandoned = 0;

  constructor(transport: Transport, control: ControlLane, owner: Owner, context: OutboxContext) {
    this.transport = transport;
    this.#control = control;
    this.#owner = owner;
    this.#context = context;
    this.format = context.formats.of(context.codec, transport.framing.encoding);
    this.kind = this.format.kindOf(transport.framing);
    this.queues = new Queues(context.memory);
    this.#losses = new Losses(owner, this.format, context);
    this.#sender = new Sender(transport, this, context);
  }

  /** Messages the member has been offered and the kernel has not got yet (V10). */
  get messages(): number {
    return this.queues.messages + this.#sender.messages;
  }

  /** Bytes of queues and the batch outstanding. */
  get bytes(): number {
    return this.queues.bytes + this.#sender.bytes;
  }

  /** How long the peer has taken not a byte although there is something to take, in milliseconds (V13). */
  get stalledMs(): number {
    return this.#sender.stalledMs;
  }

  /** Messages the kernel has got whole and the peer has not confirmed. */
  get unconfirmedMessages(): number {
    return this.#sender.unconfirmedMessages;
  }

  /** Messages that were still held when it ended. */
  get abandonedMessages(): number {
    return this.#abandoned;
  }

  /** The transport takes nothing before the peer asks again. */
  get isBetweenPolls(): boolean {
    return this.#sender.isBetweenPolls;
  }

  /** Nothing is left to hand over, and nothing is outstanding; what is read again is of no account here. */
  get isDrained(): boolean {
    return this.#sender.isIdle && !this.hasWork;
  }

  /** Replies wait. */
  get hasControl(): boolean {
    return this.#control.bytes > 0;
  }

  /** Replies, messages or losses wait. */
  get hasWork(): boolean {
    return this.queues.length > 0 || this.#control.bytes > 0 || this.#losses.size > 0;
  }

  get isShedding(): boolean {
    return this.#owner.isShedding;
  }

  /** Whoever is not behind is healthy: asked first, so that a delivery seldom has to look further. */
  get isSlow(): boolean {
    return this.isBehind && !this.#owner.isHealthy;
  }

  /** Age of the oldest undelivered message or reply in milliseconds, 0 without one. */
  lagMs(now: number): number {
    const queued = this.queues.longestWaiting()?.peek()?.acceptedAt ?? now;
    return now - Math.min(this.#sender.oldestAt(now), queued);
  }

  /** Reads what `offer` will read first; what comes back is as `Transport.prefetch` has it. */
  prefetch(): boolean {
    return this.#isClear && this.transport.prefetch?.() === true;
  }

  /**
   * Offers one room's next messages, joined for this member's transport. Returns the reason when
   * the member has to be evicted for it; the caller does that outside its loop.
   */
  offer(subscription: Subscription, batches: readonly Batch[]): CloseReason | null {
    if (!this.#isClear) this.drain();
    let next = 0;
    while (next < batches.length && this.#isClear && this.transport.writable) {
      const batch = batches[next] as Batch;
      next += 1;
      // Not for this member.
      if (batch.bytes.length === 0) {
        subscription.sent = subscription.offered = (batch.frames.at(-1) as Frame).last;
        continue;
      }
      subscription.sent = subscription.offered = (
        batch.frames[batch.frames.length - 1] as Frame
      ).last;
      // The kernel having taken all is the common case: counted once a slice, by the room.
      if (!this.transport.write(batch.bytes, batch.messages)) {
        this.#sender.sent(batch);
        this.#fallBehind();
      } else if (this.isSlow) batch.toSlow += 1;
      else batch.toHealthy += 1;
    }
    let verdict: CloseReason | null = null;
    for (; next < batches.length; next += 1) {
      for (const frame of (batches[next] as Batch).frames) {
        verdict = this.#enqueue(subscription, frame) ?? verdict;
      }
    }
    return verdict;
  }

  /** What the member has not had up to `last` it is not going to have, which it will be told. */
  miss(subscription: Subscription, last: number, reason: GapReason): void {
    subscription.offered = last;
    subscription.miss(last, reason);
    this.#losses.add(subscription);
    this.#fallBehind();
    this.#owner.wake();
  }

  /** `events`, at least one, as a batch that is handed over next. */
  announcement(events: readonly Event[]): Batch {
    const parts: Buffer[] = [];
    const bytes = this.#losses.announce(events, parts);
    return this.batch(parts, bytes, 0);
  }

  /** Frames of so many bytes as a batch; `replayed` messages in them are read again. */
  batch(frames: readonly Buffer[], bytes: number, replayed: number): Batch {
    return new Batch([], 0, this.transport.framing.join(frames, bytes), replayed);
  }

  /** The cursor may hand over one batch, by turns with what is live. */
  replay(replay: Cursor): void {
    this.#beside().replay(replay);
    this.drain();
  }

  /** The watcher is told what there is for it, once nothing live is left; each waits once. */
  show(watch: Watch): void {
    if (watch.isWaiting) return;
    watch.isWaiting = true;
    this.#beside().show(watch);
    this.drain();
  }

  /** The cursor may hand over one batch, behind everything else; parked while the member is shedding. */
  backfill(backfill: Cursor): void {
    this.#beside().backfill(backfill);
    this.drain();
  }

  /** A control frame waits: what is offered now goes behind it. */
  hold(): void {
    this.#isClear = false;
  }

  /** Hands over nothing more, whatever is offered. */
  shut(): void {
    this.#isShut = true;
    this.#isClear = false;
  }

  /** The transport has taken the outstanding batch whole. */
  completed(): void {
    if (this.#sender.completed()) this.drain();
  }

  /** Hands over control frames and nothing else: what else there is stands behind the one that waits for their place. */
  makeWay(): void {
    while (this.#sender.isFree && !this.#isShut && this.#control.bytes > 0) {
      const parts: Buffer[] = [];
      const bytes = this.#control.take(parts, BATCH_BYTES);
      this.#handOver(this.batch(parts, bytes, 0));
    }
  }

  /** Hands over batch after batch until the transport has one outstanding or nothing is left. */
  drain(): void {
    while (this.#sender.isFree && !this.#isShut) {
      const cursor = this.#cursors?.next(this);
      if (cursor === undefined && !this.hasWork) break;
      const batch = cursor === undefined ? this.#nextBatch() : cursor.next();
      // All of it was for others, or there is nothing now.
      if (batch === null || batch.bytes.length === 0) continue;
      this.#handOver(batch);
    }
    this.#isClear = this.isDrained && !this.#isShut;
    if (this.hasWork) this.#fallBehind();
  }

  /**
   * The member is no longer in a room: what is queued of it is abandoned. Returns what it has to be
   * told of what was published until now (`last`) and it has not had (V4).
   */
  leave(subscription: Subscription, last: number): readonly Event[] {
    this.#losses.delete(subscription);
    this.#cursors?.leave(subscription);
    const abandoned = this.queues.discard(subscription.room);
    if (abandoned > 0) this.#context.observer.abandoned(abandoned);
    if (this.isDrained) this.#sender.rest();
    return subscription.skip(last, 'left');
  }

  /** Lets go of everything; messages the member had not had are abandoned. Once. */
  end(): void {
    this.#abandoned = this.#sender.end() + this.queues.discard();
    if (this.#abandoned > 0) this.#context.observer.abandoned(this.#abandoned);
    this.#losses.clear();
    this.#cursors?.end();
  }

  #beside(): Cursors {
    this.#cursors ??= new Cursors();
    return this.#cursors;
  }

  #handOver(batch: Batch): void {
    this.#sender.send(batch);
    if (!this.#sender.isIdle) this.#fallBehind();
  }

  #enqueue(subscription: Subscription, frame: Frame): CloseReason | null {
    subscription.offered = frame.last;
    const loss = this.queues.offer(subscription.policy, frame);
    this.#fallBehind();
    if (loss === null) return null;
    if (loss.conflated !== null) this.#losses.conflated(loss.conflated);
    const { policy } = subscription.policy;
    for (const lost of loss.overflow) this.#losses.overflowed(lost, policy);
    if (loss.overflow.length === 0 || policy !== 'disconnect') return null;
    return this.#owner.isFull(subscription.policy);
  }

  #nextBatch(): Batch {
    const parts: Buffer[] = [];
    const frames: Frame[] = [];
    let bytes = this.#control.take(parts, BATCH_BYTES);
    const { queues } = this;
    for (
      let queue = queues.longestWaiting();
      queue !== undefined;
      queue = queues.longestWaiting()
    ) {
      const frame = queue.peek() as Frame;
      const subscription = this.#owner.subscriptions.get(frame.room) as Subscription;
      if (frame.seq > subscription.sent + 1) {
        if (bytes >= BATCH_BYTES) break;
        bytes += this.#losses.skip(subscription, frame.seq - 1, parts);
      }
      if (bytes > 0 && bytes + frame.bytes.length > BATCH_BYTES) break;
      queues.takeFrom(queue);
      subscription.sent = frame.last;
      if (frame.bytes.length > 0) parts.push(frame.bytes);
      frames.push(frame);
      bytes += frame.bytes.length;
    }
    if (queues.length === 0) bytes += this.#losses.take(parts, BATCH_BYTES - bytes);
    const joined = parts.length === 0 ? NOTHING : this.transport.framing.join(parts, bytes);
    return new Batch(frames, countMessages(frames), joined);
  }

  #fallBehind(): void {
    this.#isClear = false;
    this.#sender.wait();
    if (!this.isBehind) this.#owner.fellBehind();
  }
}
