/**
 * A connection as rooms see it: one bounded queue however many rooms, one batch outstanding, and
 * a lane of its own for control frames. Owns everything the server holds for the peer.
 *
 * V1: `offer` is synchronous and touches nobody else. V3: queue, control lane and the one batch
 * outstanding are bounded, on every transport. V4: gaps are not stored but derived when the queue
 * is drained, from what was handed over last and what comes next, so none can be forgotten.
 * V5: control frames go before data and have a bound of their own.
 *
 * Not here: who is in which room (`room.ts`), what closes a connection (`session/session.ts`).
 */

import type { CloseReason } from '../errors.js';
import type { Events } from '../events.js';
import type { LoopClock } from '../loop-clock.js';
import type { QueuePolicy } from '../options/config.js';
import type { Codec } from '../protocol/codec.js';
import type { Event, GapReason, HealthState } from '../protocol/events.js';
import { nowMs } from '../time.js';
import type { Transport } from '../transport/transport.js';
import { type ControlBounds, ControlLane } from './control-lane.js';
import { Batch, countMessages, type Frame, type QueueMemory } from './frame.js';
import { Health } from './health.js';
import type { DropReason, Observer } from './observer.js';
import { SendQueue } from './send-queue.js';
import type { Subscription } from './subscription.js';

/**
 * Most bytes handed to a transport at once, unless a single message is larger. Small enough to
 * see a slow peer move, large enough that the system call is a fraction of the cost.
 */
export const BATCH_BYTES = 16 * 1024;

/** What all members of a server share. */
export interface MemberContext extends ControlBounds {
  readonly clock: LoopClock;
  readonly codec: Codec;
  readonly observer: Observer;
  /** Of the app. */
  readonly events: Pick<Events, 'said'>;
  readonly memory: QueueMemory;
  /** Thresholds of a member that is in no room. */
  readonly defaultPolicy: QueuePolicy;
  /** Members with anything outstanding or queued, or not yet healthy again. */
  readonly behind: Set<Member>;
  /** Has the member drained at the end of this turn of the loop. */
  wake(member: Member): void;
  /** Has the member evicted, after the caller's loop is done. */
  evict(member: Member, reason: CloseReason): void;
}

type Thresholds = Pick<QueuePolicy, 'lagAfterMs' | 'recoverAfterMs' | 'stallAfterMs'>;

const strictest = (a: Thresholds, b: Thresholds): Thresholds => ({
  lagAfterMs: Math.min(a.lagAfterMs, b.lagAfterMs),
  recoverAfterMs: Math.max(a.recoverAfterMs, b.recoverAfterMs),
  stallAfterMs: Math.min(a.stallAfterMs, b.stallAfterMs),
});

const DROP_REASON: Record<QueuePolicy['policy'], DropReason> = {
  'drop-oldest': 'drop-oldest',
  'drop-newest': 'drop-newest',
  'latest-by-key': 'drop-oldest',
  disconnect: 'disconnect',
};

export class Member {
  #isBehind = false;
  /**
   * Nothing is queued or outstanding, so that a batch may go straight to the transport. False a
   * little longer at times, never true too long: one flag that spares each delivery to a healthy
   * member a look at four objects that the processor's caches have long let go of.
   */
  #isClear = true;
  readonly subscriptions = new Map<string, Subscription>();
  readonly connectedAt = Date.now();
  /** The latest heartbeat's, or null before one. */
  roundTripSeconds: number | null = null;

  readonly #context: MemberContext;
  readonly #health = new Health();
  /** The strictest of the namespaces the member is in. */
  #thresholds: Thresholds;
  /** One queue for each policy the member has fallen behind under; mostly none or one. */
  readonly #queues: SendQueue[] = [];
  /** Frames in all queues. */
  #backlog = 0;
  /** Rooms with a loss that no later message may announce. */
  readonly #gapped = new Set<Subscription>();
  readonly #control: ControlLane;
  #outstanding: Batch | null = null;
  /**
   * Since when the transport has taken no batch of what there is for it, by the clock of the loop;
   * null while there is nothing.
   */
  #waitingSince: number | null = null;
  /** When the `disconnect` policy ends the member, unless it recovers; by the clock of the loop. */
  #disconnectAt = Number.POSITIVE_INFINITY;
  /** A control frame was refused: nothing may be handed over behind it. */
  #hasOverflowed = false;
  #hasEnded = false;
  /** Messages it was abandoned with, of which some were in the batch outstanding. */
  #abandoned = 0;
  #cutOff = 0;

  constructor(
    readonly id: string,
    readonly transport: Transport,
    context: MemberContext,
  ) {
    this.#context = context;
    this.#thresholds = context.defaultPolicy;
    this.#control = new ControlLane(context, context.memory);
  }

  get health(): HealthState {
    return this.#health.state;
  }

  /** Messages the member has been offered and the kernel has not got yet (V10). */
  get queuedMessages(): number {
    let messages = this.#outstanding?.messages ?? 0;
    for (const queue of this.#queues) messages += queue.messages;
    return messages;
  }

  /** Bytes held for this member: queues, control lane and the batch outstanding. */
  get queuedBytes(): number {
    let bytes = this.#control.bytes + (this.#outstanding?.bytes.length ?? 0);
    for (const queue of this.#queues) bytes += queue.bytes;
    return bytes;
  }

  /** How long the peer has taken not a byte although there is something to take, in milliseconds (V13). */
  get stalledMs(): number {
    if (this.#waitingSince === null) return 0;
    const since = Math.max(this.#waitingSince, this.transport.progressAt);
    return this.#context.clock.now() - since;
  }

  /** The strictest of the namespaces the member is in. */
  get stallAfterMs(): number {
    return this.#thresholds.stallAfterMs;
  }

  /** Messages the kernel has got whole and the peer has not confirmed. */
  get unconfirmedMessages(): number {
    const unfinished = this.#outstanding?.messages ?? this.#cutOff;
    return Math.max(0, this.transport.unconfirmedMessages - unfinished);
  }

  /** Messages that were still held for it when it ended. */
  get abandonedMessages(): number {
    return this.#abandoned;
  }

  /** The transport takes nothing before the peer asks again. */
  get isBetweenPolls(): boolean {
    return this.#outstanding === null && !this.transport.writable;
  }

  /** Nothing is left to hand over, and nothing is outstanding. */
  get isDrained(): boolean {
    return this.#outstanding === null && !this.#hasWork;
  }

  /** Age of the oldest undelivered message or reply in milliseconds, 0 without one. */
  lagMs(now: number): number {
    let oldest = now;
    if (this.#outstanding !== null) {
      oldest = this.#outstanding.frames[0]?.acceptedAt ?? now - this.#waitedMs;
    }
    for (const queue of this.#queues) oldest = Math.min(oldest, queue.peek()?.acceptedAt ?? now);
    return now - oldest;
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
      subscription.sent = subscription.offered = (
        batch.frames[batch.frames.length - 1] as Frame
      ).last;
      // The kernel having taken all is the common case: counted once a slice, by the room.
      if (!this.transport.write(batch.bytes, batch.messages)) {
        const now = nowMs();
        this.#waited(batch, now);
        this.#await(batch);
      } else if (this.#isSlow) batch.toSlow += 1;
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

  /** Sends a control frame: before any data, never dropped, but past its bound the member goes (V5). */
  send(event: Event): void {
    if (this.#hasEnded || this.#hasOverflowed) return;
    const bytes = this.#encode(event);
    // A burst of commands in one read must not overflow a lane the peer is willing to read.
    if (!this.#control.fits(bytes)) this.drain();
    if (!this.#control.fits(bytes)) {
      this.#hasOverflowed = true;
      this.#isClear = false;
      this.#context.evict(this, 'control_overflow');
      return;
    }
    if (this.#control.bytes === 0) this.#context.wake(this);
    this.#control.push(bytes);
    this.#context.events.said(this.id, event);
    this.#isClear = false;
  }

  /** The transport has taken the outstanding batch whole. */
  completed(): void {
    const batch = this.#outstanding;
    if (batch === null || this.#hasEnded) return;
    this.#outstanding = null;
    this.#context.memory.release(batch);
    this.#waitingSince = null;
    this.#count(batch, nowMs());
    this.drain();
  }

  /** Hands over batch after batch until the transport has one outstanding or nothing is left. */
  drain(): void {
    while (
      this.#outstanding === null &&
      this.#hasWork &&
      this.transport.writable &&
      !this.#hasOverflowed
    ) {
      const batch = this.#nextBatch();
      const now = nowMs();
      this.#waited(batch, now);
      // That it could be asked to take a batch says that it has taken all before.
      this.#waitingSince = null;
      if (this.transport.write(batch.bytes, batch.messages)) this.#count(batch, now);
      else this.#await(batch);
    }
    this.#isClear = this.isDrained && !this.#hasOverflowed;
    if (this.#hasWork) this.#fallBehind();
  }

  /**
   * Judges how the member stands; called a few times a second while it is behind. Returns the
   * reason when it has to be evicted.
   */
  check(now: number): CloseReason | null {
    if (this.isDrained && this.#health.state === 'healthy') {
      this.#isBehind = false;
      this.#context.behind.delete(this);
      return null;
    }
    const { lagAfterMs, recoverAfterMs, stallAfterMs } = this.#thresholds;
    if (this.stalledMs >= stallAfterMs) return 'slow_consumer';
    let isUnderHalf = true;
    let mayStay = true;
    for (const queue of this.#queues) {
      if (queue.isUnderHalf) continue;
      isUnderHalf = false;
      if (queue.policy.policy === 'disconnect') mayStay = false;
    }
    if (mayStay) this.#disconnectAt = Number.POSITIVE_INFINITY;
    else if (this.#context.clock.now() >= this.#disconnectAt) return 'slow_consumer';
    // A peer that is between two polls is not slow for it.
    const lagMs = this.isBetweenPolls ? 0 : this.lagMs(now);
    if (this.#health.check({ now, lagMs, isUnderHalf, lagAfterMs, recoverAfterMs })) {
      this.#tellHealth();
    }
    return null;
  }

  /** Begins the membership of a room. */
  join(subscription: Subscription): void {
    const { policy } = subscription;
    this.#thresholds = this.subscriptions.size === 0 ? policy : strictest(this.#thresholds, policy);
    this.subscriptions.set(subscription.room, subscription);
  }

  /**
   * Ends the membership of a room: what is queued of it is abandoned, and what the member has not
   * had of what was published until now (`seq`) is announced (V4).
   */
  leave(subscription: Subscription, seq: number): void {
    subscription.hasLeft = true;
    this.subscriptions.delete(subscription.room);
    let thresholds: Thresholds | null = null;
    for (const { policy } of this.subscriptions.values()) {
      thresholds = thresholds === null ? policy : strictest(thresholds, policy);
    }
    this.#thresholds = thresholds ?? this.#context.defaultPolicy;
    this.#gapped.delete(subscription);
    let abandoned = 0;
    for (const queue of this.#queues) {
      const before = queue.length;
      abandoned += queue.discard(subscription.room);
      this.#backlog -= before - queue.length;
    }
    if (abandoned > 0) this.#context.observer.abandoned(abandoned);
    if (this.isDrained) this.#waitingSince = null;
    if (subscription.sent < seq) this.send(gapEvent(subscription, seq, 'left'));
  }

  /** The control frames not yet handed over and `event` behind them, as one last batch. */
  farewell(event: Event): Buffer {
    const frames = [...this.#control.frames, this.#encode(event)];
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    return this.transport.framing.join(frames, bytes);
  }

  /** Lets go of everything held for the member; messages it had not had are abandoned. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#cutOff = this.#outstanding?.messages ?? 0;
    let abandoned = this.#cutOff;
    for (const queue of this.#queues) abandoned += queue.discard();
    this.#abandoned = abandoned;
    if (abandoned > 0) this.#context.observer.abandoned(abandoned);
    if (this.#outstanding !== null) this.#context.memory.release(this.#outstanding);
    this.#outstanding = null;
    this.#backlog = 0;
    this.#gapped.clear();
    this.#control.clear();
    this.#context.behind.delete(this);
  }

  /** Whoever is not behind is healthy: asked first, so that a delivery seldom has to look at `#health`. */
  get #isSlow(): boolean {
    return this.#isBehind && this.#health.state !== 'healthy';
  }

  /** Since its last batch was complete. */
  get #waitedMs(): number {
    return this.#waitingSince === null ? 0 : this.#context.clock.now() - this.#waitingSince;
  }

  get #hasWork(): boolean {
    return this.#backlog > 0 || this.#control.bytes > 0 || this.#gapped.size > 0;
  }

  #enqueue(subscription: Subscription, frame: Frame): CloseReason | null {
    subscription.offered = frame.last;
    const queue = this.#queueFor(subscription.policy);
    const before = queue.length;
    const loss = queue.offer(frame);
    this.#backlog += queue.length - before;
    this.#fallBehind();
    if (loss === null) return null;
    if (loss.conflated !== null) this.#lost(loss.conflated, 'conflated');
    const { policy, disconnectGraceMs } = subscription.policy;
    for (const lost of loss.overflow) this.#lost(lost, DROP_REASON[policy]);
    if (loss.overflow.length === 0 || policy !== 'disconnect') return null;
    const now = this.#context.clock.now();
    this.#disconnectAt = Math.min(this.#disconnectAt, now + disconnectGraceMs);
    return now >= this.#disconnectAt ? 'slow_consumer' : null;
  }

  #lost(frame: Frame, reason: DropReason): void {
    const subscription = this.subscriptions.get(frame.room) as Subscription;
    this.#gapped.add(subscription);
    if (reason !== 'conflated') {
      subscription.overflowed = frame.last;
      if (this.#health.shed()) this.#tellHealth();
    }
    if (frame.counted) this.#context.observer.dropped(reason, 1);
  }

  #nextBatch(): Batch {
    const parts: Buffer[] = [];
    const frames: Frame[] = [];
    let bytes = this.#control.take(parts, BATCH_BYTES);
    for (let queue = this.#longestWaiting(); queue !== undefined; queue = this.#longestWaiting()) {
      const frame = queue.peek() as Frame;
      const subscription = this.subscriptions.get(frame.room) as Subscription;
      const gap =
        frame.seq > subscription.sent + 1 ? this.#gapFrame(subscription, frame.seq - 1) : null;
      const size = frame.bytes.length + (gap?.length ?? 0);
      if (bytes > 0 && bytes + size > BATCH_BYTES) break;
      queue.take();
      this.#backlog -= 1;
      subscription.sent = frame.last;
      if (gap !== null) parts.push(gap);
      parts.push(frame.bytes);
      frames.push(frame);
      bytes += size;
    }
    if (this.#backlog === 0) bytes += this.#takeGaps(parts, bytes);
    return new Batch(frames, countMessages(frames), this.transport.framing.join(parts, bytes));
  }

  /** The queue whose head has waited longest: one namespace's flood does not hold up another's messages. */
  #longestWaiting(): SendQueue | undefined {
    if (this.#backlog === 0) return undefined;
    let oldest: SendQueue | undefined;
    let acceptedAt = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues) {
      const head = queue.peek();
      if (head === undefined || head.acceptedAt >= acceptedAt) continue;
      oldest = queue;
      acceptedAt = head.acceptedAt;
    }
    return oldest;
  }

  /** Announces the losses no later message will announce: the queue has run empty. */
  #takeGaps(parts: Buffer[], before: number): number {
    let bytes = 0;
    for (const subscription of this.#gapped) {
      if (subscription.sent < subscription.offered) {
        if (before + bytes > BATCH_BYTES) break;
        const gap = this.#gapFrame(subscription, subscription.offered);
        subscription.sent = subscription.offered;
        parts.push(gap);
        bytes += gap.length;
      }
      this.#gapped.delete(subscription);
    }
    return bytes;
  }

  #gapFrame(subscription: Subscription, to: number): Buffer {
    // Overflow takes the oldest or the newest, so what it cost lies before all that is still queued.
    const reason = subscription.overflowed > subscription.sent ? 'overflow' : 'conflated';
    const event = gapEvent(subscription, to, reason);
    this.#context.events.said(this.id, event);
    return this.#encode(event);
  }

  #encode(event: Event): Buffer {
    return this.transport.framing.encoding.encode(this.#context.codec.encode(event));
  }

  /** The transport has not taken all of the batch yet. */
  #await(batch: Batch): void {
    this.#outstanding = batch;
    this.#fallBehind();
    this.#context.memory.hold(batch);
  }

  #waited(batch: Batch, now: number): void {
    const { index } = this.transport.framing;
    const slow = this.#isSlow;
    for (const frame of batch.frames) {
      if (!frame.counted) continue;
      this.#context.observer.queueWaited(index, slow, (now - frame.acceptedAt) / 1000, 1);
    }
  }

  /** Counts a batch the kernel has. */
  #count(batch: Batch, now: number): void {
    const { observer } = this.#context;
    const { index } = this.transport.framing;
    const slow = this.#isSlow;
    observer.sentBytes(index, batch.bytes.length);
    for (const frame of batch.frames) {
      if (frame.counted) observer.delivered(index, slow, (now - frame.acceptedAt) / 1000, 1);
    }
  }

  #queueFor(policy: QueuePolicy): SendQueue {
    for (const queue of this.#queues) if (queue.policy === policy) return queue;
    const queue = new SendQueue(policy, this.#context.memory);
    this.#queues.push(queue);
    return queue;
  }

  /** There is something the transport has not taken. */
  #fallBehind(): void {
    this.#isClear = false;
    this.#waitingSince ??= this.#context.clock.now();
    if (this.#isBehind || this.#hasEnded) return;
    this.#isBehind = true;
    this.#context.behind.add(this);
  }

  #tellHealth(): void {
    const state = this.#health.state;
    const untilDisconnect = this.#disconnectAt - this.#context.clock.now();
    const evictAfterMs = Math.ceil(Math.min(this.stallAfterMs - this.stalledMs, untilDisconnect));
    this.send({
      type: 'health',
      state,
      queued: { messages: this.queuedMessages, bytes: this.queuedBytes },
      ...(state === 'healthy' ? {} : { evictAfterMs: Math.max(0, evictAfterMs) }),
    });
  }
}

function gapEvent(subscription: Subscription, to: number, reason: GapReason): Event {
  const from = subscription.sent + 1;
  return { type: 'gap', room: subscription.room, from, to, count: to - from + 1, reason };
}
