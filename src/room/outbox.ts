/**
 * Everything queued for one member: a send queue per policy, and the choice of what goes to the
 * transport next among messages, control frames, losses, replays, presence and backfills.
 *
 * V1: `offer` is synchronous and touches no other member. V3: queues are bounded, on every transport.
 * V5: control frames go before data. V10: every message offered is counted once, by its outcome.
 *
 * Not here: the outstanding batch (`sender.ts`), gaps (`losses.ts`), the order of replays, presence and
 * backfills (`cursors.ts`), health and eviction (`member.ts`).
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
 * Maximum bytes handed to a transport at once, unless a single message is larger. Small enough to notice
 * a slow peer, large enough that the system call is a fraction of the cost.
 */
export const BATCH_BYTES = 16 * 1024;

const NOTHING = Buffer.alloc(0);

export interface OutboxContext extends SenderContext, LossesContext {
  readonly codec: Codec;
  readonly formats: Formats;
}

/** The member that owns the outbox. */
export interface Owner extends Recipient {
  readonly isHealthy: boolean;
  /** Messages were dropped for it recently. */
  readonly isShedding: boolean;
  /** Something waits that the transport has not taken. */
  fellBehind(): void;
  /** Schedules a drain at the end of this event loop turn. */
  wake(): void;
  /** A queue under `disconnect` is full. Returns the reason if the member has to be evicted now. */
  isFull(policy: QueuePolicy): CloseReason | null;
}

export class Outbox {
  /** Set when something waits; cleared by `Member.check` once the member is drained and healthy. */
  isBehind = false;
  /**
   * True only if nothing is queued or outstanding: a batch may go straight to the transport. May be
   * false a little longer, never true too long. Spares a delivery to a healthy member four reads that
   * miss the caches.
   */
  #isClear = true;
  readonly transport: Transport;
  /** Format of everything sent to the member. */
  readonly format: Format;
  /** Equal for members that can share batches. */
  readonly kind: number;
  readonly #context: OutboxContext;
  readonly #owner: Owner;
  readonly #control: ControlLane;
  readonly queues: Queues;
  readonly #losses: Losses;
  readonly #sender: Sender;
  /** Null until the first replay, presence watch or backfill; most members have none. */
  #cursors: Cursors | null = null;
  /** True once nothing more may be handed to the transport. */
  #isShut = false;
  /** Messages still held at `end`. */
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

  /** Messages offered to the member that the kernel has not taken yet (V10). */
  get messages(): number {
    return this.queues.messages + this.#sender.messages;
  }

  /** Bytes of the queues and the outstanding batch. */
  get bytes(): number {
    return this.queues.bytes + this.#sender.bytes;
  }

  /** Milliseconds the peer has taken no byte while something waits for it; 0 if nothing waits (V13). */
  get stalledMs(): number {
    return this.#sender.stalledMs;
  }

  /** Messages fully handed to the kernel that the peer has not confirmed. */
  get unconfirmedMessages(): number {
    return this.#sender.unconfirmedMessages;
  }

  /** Messages still held when the outbox ended. */
  get abandonedMessages(): number {
    return this.#abandoned;
  }

  /** A polling peer has no request open, so the transport takes nothing now. */
  get isBetweenPolls(): boolean {
    return this.#sender.isBetweenPolls;
  }

  /** Nothing is queued or outstanding; replays, presence and backfills do not count. */
  get isDrained(): boolean {
    return this.#sender.isIdle && !this.hasWork;
  }

  /** Control frames wait. */
  get hasControl(): boolean {
    return this.#control.bytes > 0;
  }

  /** Control frames, messages or losses wait. */
  get hasWork(): boolean {
    return this.queues.length > 0 || this.#control.bytes > 0 || this.#losses.size > 0;
  }

  get isShedding(): boolean {
    return this.#owner.isShedding;
  }

  /** A member that is not behind is healthy. Checked first, so that most deliveries look no further. */
  get isSlow(): boolean {
    return this.isBehind && !this.#owner.isHealthy;
  }

  /** Age of the oldest undelivered message or reply in milliseconds, 0 without one. */
  lagMs(now: number): number {
    const queued = this.queues.longestWaiting()?.peek()?.acceptedAt ?? now;
    return now - Math.min(this.#sender.oldestAt(now), queued);
  }

  /** Reads the fields that `offer` reads first. The result means nothing (see `Transport.prefetch`). */
  prefetch(): boolean {
    return this.#isClear && this.transport.prefetch?.() === true;
  }

  /**
   * Offers one room's next messages, joined for this transport. Returns the reason if the member has to
   * be evicted; the caller does that after its loop.
   */
  offer(subscription: Subscription, batches: readonly Batch[]): CloseReason | null {
    if (!this.#isClear) this.drain();
    let next = 0;
    while (next < batches.length && this.#isClear && this.transport.writable) {
      const batch = batches[next] as Batch;
      next += 1;
      // An empty batch: none of its messages is for this member.
      if (batch.bytes.length === 0) {
        subscription.sent = subscription.offered = (batch.frames.at(-1) as Frame).last;
        continue;
      }
      subscription.sent = subscription.offered = (
        batch.frames[batch.frames.length - 1] as Frame
      ).last;
      // Usually the kernel takes the whole batch; the room counts those deliveries once a slice.
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

  /** Marks what the member has not received up to `last` as lost; a gap will announce it. */
  miss(subscription: Subscription, last: number, reason: GapReason): void {
    subscription.offered = last;
    subscription.miss(last, reason);
    this.#losses.add(subscription);
    this.#fallBehind();
    this.#owner.wake();
  }

  /** Makes a batch of `events`, at least one, which the caller hands over next. */
  announcement(events: readonly Event[]): Batch {
    const parts: Buffer[] = [];
    const bytes = this.#losses.announce(events, parts);
    return this.batch(parts, bytes, 0);
  }

  /** Joins frames, `bytes` bytes in all, `replayed` replayed messages in them. */
  batch(frames: readonly Buffer[], bytes: number, replayed: number): Batch {
    return new Batch([], 0, this.transport.framing.join(frames, bytes), replayed);
  }

  /** Queues a replay for one batch. Replays alternate with live messages. */
  replay(replay: Cursor): void {
    this.#ensureCursors().replay(replay);
    this.drain();
  }

  /** Queues a presence watch, once. It gets its turn when nothing live waits. */
  show(watch: Watch): void {
    if (watch.isWaiting) return;
    watch.isWaiting = true;
    this.#ensureCursors().show(watch);
    this.drain();
  }

  /** Queues a backfill for one batch, behind everything else; parked while the member is shedding. */
  backfill(backfill: Cursor): void {
    this.#ensureCursors().backfill(backfill);
    this.drain();
  }

  /** A control frame waits, so messages offered from now on must queue behind it. */
  hold(): void {
    this.#isClear = false;
  }

  /** Hands over nothing more. Offers are still accepted into the queues. */
  shut(): void {
    this.#isShut = true;
    this.#isClear = false;
  }

  /** The transport has taken the outstanding batch whole. */
  completed(): void {
    if (this.#sender.completed()) this.drain();
  }

  /** Hands over control frames only: everything else must stay behind the frame that needs room. */
  makeWay(): void {
    while (this.#sender.isFree && !this.#isShut && this.#control.bytes > 0) {
      const parts: Buffer[] = [];
      const bytes = this.#control.take(parts, BATCH_BYTES);
      this.#handOver(this.batch(parts, bytes, 0));
    }
  }

  /** Hands over batches until the transport has one outstanding or nothing is left. */
  drain(): void {
    while (this.#sender.isFree && !this.#isShut) {
      const cursor = this.#cursors?.next(this);
      if (cursor === undefined && !this.hasWork) break;
      const batch = cursor === undefined ? this.#nextBatch() : cursor.next();
      // All its messages were for other members, or the cursor has nothing now.
      if (batch === null || batch.bytes.length === 0) continue;
      // The app may have ended the connection when the cursor asked it for a permission.
      if (!this.#sender.isFree) break;
      this.#handOver(batch);
    }
    this.#isClear = this.isDrained && !this.#isShut;
    if (this.hasWork) this.#fallBehind();
  }

  /**
   * The member has left a room: its queued messages are abandoned. Returns the events that announce what
   * the member has not received up to `last`, the last publication of the room (V4).
   */
  leave(subscription: Subscription, last: number): readonly Event[] {
    this.#losses.delete(subscription);
    this.#cursors?.leave(subscription);
    const abandoned = this.queues.discard(subscription.room);
    if (abandoned > 0) this.#context.observer.abandoned(abandoned);
    if (this.isDrained) this.#sender.rest();
    return subscription.skip(last, 'left');
  }

  /** Releases everything; undelivered messages are abandoned. Called once. */
  end(): void {
    this.#abandoned = this.#sender.end() + this.queues.discard();
    if (this.#abandoned > 0) this.#context.observer.abandoned(this.#abandoned);
    this.#losses.clear();
    this.#cursors?.end();
  }

  #ensureCursors(): Cursors {
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
