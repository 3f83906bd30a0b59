/**
 * A connection as rooms see it: its identity, its rooms, its health, and its lane for control frames.
 * Together with its outbox it owns everything the server holds for the peer.
 *
 * V3: the control lane and the outbox are bounded. V5: control frames are never dropped; when the lane
 * overflows, the member is evicted.
 *
 * Not here: queued messages (`outbox.ts`), the member list of a room (`room.ts`), closing the connection
 * (`session/session.ts`).
 */
import type { CloseReason } from '../errors.js';
import type { QueuePolicy } from '../options/config.js';
import type { Event, HealthState } from '../protocol/events.js';
import type { Transport } from '../transport/transport.js';
import { type ControlBounds, ControlLane } from './control-lane.js';
import { Health } from './health.js';
import { ANYONE, type Identity } from './identity.js';
import { Outbox, type OutboxContext, type Owner } from './outbox.js';
import type { Subscription } from './subscription.js';

/** Dependencies shared by all members of a server. */
export interface MemberContext extends ControlBounds, OutboxContext {
  /** Thresholds for a member that has joined no room. */
  readonly defaultPolicy: QueuePolicy;
  /** Members with anything outstanding or queued, or not yet healthy again. */
  readonly behind: Set<Member>;
  /** Schedules a drain of the member's outbox at the end of this event loop turn. */
  wake(member: Member): void;
  /** Schedules the member's eviction, after the caller's loop over members is done. */
  evict(member: Member, reason: CloseReason): void;
}

type Thresholds = Pick<QueuePolicy, 'lagAfterMs' | 'recoverAfterMs' | 'stallAfterMs'>;

const strictest = (a: Thresholds, b: Thresholds): Thresholds => ({
  lagAfterMs: Math.min(a.lagAfterMs, b.lagAfterMs),
  recoverAfterMs: Math.max(a.recoverAfterMs, b.recoverAfterMs),
  stallAfterMs: Math.min(a.stallAfterMs, b.stallAfterMs),
});

export class Member implements Owner {
  readonly subscriptions = new Map<string, Subscription>();
  /** Once the member has joined a room, only `Memberships.identify` may change this. */
  identity: Identity = ANYONE;
  readonly connectedAt = Date.now();
  /** Round trip of the latest heartbeat in seconds; null before the first. */
  roundTripSeconds: number | null = null;
  readonly outbox: Outbox;

  readonly #context: MemberContext;
  readonly #health = new Health();
  /** The strictest thresholds of the namespaces the member has joined. */
  #thresholds: Thresholds;
  readonly #control: ControlLane;
  /** When the `disconnect` policy evicts the member unless it recovers, in loop clock milliseconds. */
  #disconnectAt = Number.POSITIVE_INFINITY;
  /** A control frame did not fit. Nothing may be sent after the missing frame. */
  #hasOverflowed = false;
  #hasEnded = false;
  /** The broker state the member was last sent. */
  #brokerState: 'up' | 'suspended' = 'up';

  constructor(
    readonly id: string,
    readonly transport: Transport,
    context: MemberContext,
  ) {
    this.#context = context;
    this.#thresholds = context.defaultPolicy;
    this.#control = new ControlLane(context, context.memory);
    this.outbox = new Outbox(transport, this.#control, this, context);
  }

  get health(): HealthState {
    return this.#health.state;
  }

  get isShedding(): boolean {
    return this.#health.state === 'shedding';
  }

  get isHealthy(): boolean {
    return this.#health.state === 'healthy';
  }

  /** Messages offered to the member that the kernel has not taken yet (V10). */
  get queuedMessages(): number {
    return this.outbox.messages;
  }

  /** Bytes held for this member: queues, control lane and the batch outstanding. */
  get queuedBytes(): number {
    return this.#control.bytes + this.outbox.bytes;
  }

  /** The strictest `stallAfterMs` of the namespaces the member has joined, in milliseconds. */
  get stallAfterMs(): number {
    return this.#thresholds.stallAfterMs;
  }

  /** Age of the oldest undelivered message or reply in milliseconds, 0 without one. */
  lagMs(now: number): number {
    return this.outbox.lagMs(now);
  }

  /**
   * Queues a control frame, which goes before all data. If the lane is full, the member is evicted (V5).
   */
  send(event: Event): void {
    if (this.#hasEnded || this.#hasOverflowed) return;
    const bytes = this.outbox.format.encode(event);
    // A burst of commands in one read must not overflow the lane of a peer that does read.
    if (!this.#control.fits(bytes)) this.outbox.makeWay();
    if (!this.#control.fits(bytes)) {
      this.#hasOverflowed = true;
      this.outbox.shut();
      this.#context.evict(this, 'control_overflow');
      return;
    }
    if (this.#control.bytes === 0) this.#context.wake(this);
    this.#control.push(bytes);
    this.#context.events.said(this.id, event);
    this.outbox.hold();
  }

  /** Sends the member the broker state, unless it was the last one sent. */
  tellBroker(state: 'up' | 'suspended'): void {
    if (this.#brokerState === state) return;
    this.#brokerState = state;
    this.send({ type: 'broker', state });
  }

  /**
   * Updates the member's health; called a few times a second while the member is behind. Returns the
   * reason if the member has to be evicted.
   */
  check(now: number): CloseReason | null {
    const { outbox } = this;
    if (outbox.isDrained && this.isHealthy) {
      outbox.isBehind = false;
      this.#context.behind.delete(this);
      return null;
    }
    const { lagAfterMs, recoverAfterMs, stallAfterMs } = this.#thresholds;
    if (outbox.stalledMs >= stallAfterMs) return 'slow_consumer';
    let isUnderHalf = true;
    let mayStay = true;
    for (const { policy } of outbox.queues.full()) {
      isUnderHalf = false;
      if (policy.policy === 'disconnect') mayStay = false;
    }
    if (mayStay) this.#disconnectAt = Number.POSITIVE_INFINITY;
    else if (this.#context.clock.now() >= this.#disconnectAt) return 'slow_consumer';
    // A peer between two polls does not count as slow.
    const lagMs = outbox.isBetweenPolls ? 0 : outbox.lagMs(now);
    if (this.#health.check({ now, lagMs, isUnderHalf, lagAfterMs, recoverAfterMs })) {
      this.#tellHealth();
      // Resumes the backfills that were parked while the member was shedding.
      outbox.drain();
    }
    return null;
  }

  /** Adds a room to the member's subscriptions. */
  join(subscription: Subscription): void {
    const { policy } = subscription;
    this.#thresholds = this.subscriptions.size === 0 ? policy : strictest(this.#thresholds, policy);
    this.subscriptions.set(subscription.room, subscription);
  }

  /**
   * Removes a room. Queued messages of it are abandoned; gaps announce what the member has not received
   * up to `last`, the last publication of the room (V4).
   */
  leave(subscription: Subscription, last: number): void {
    subscription.hasLeft = true;
    subscription.isLive = false;
    this.subscriptions.delete(subscription.room);
    let thresholds: Thresholds | null = null;
    for (const { policy } of this.subscriptions.values()) {
      thresholds = thresholds === null ? policy : strictest(thresholds, policy);
    }
    this.#thresholds = thresholds ?? this.#context.defaultPolicy;
    for (const event of this.outbox.leave(subscription, last)) this.send(event);
  }

  /** The queued control frames and `event` behind them, as one last batch. */
  farewell(event: Event): Buffer {
    const frames = [...this.#control.frames, this.outbox.format.encode(event)];
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    return this.transport.framing.join(frames, bytes);
  }

  /** Releases everything held for the member. Undelivered messages are abandoned. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.outbox.end();
    this.#control.clear();
    this.#context.behind.delete(this);
  }

  wake(): void {
    this.#context.wake(this);
  }

  fellBehind(): void {
    if (this.#hasEnded) return;
    this.outbox.isBehind = true;
    this.#context.behind.add(this);
  }

  shed(): void {
    if (this.#health.shed()) this.#tellHealth();
  }

  isFull({ disconnectGraceMs }: QueuePolicy): CloseReason | null {
    const now = this.#context.clock.now();
    this.#disconnectAt = Math.min(this.#disconnectAt, now + disconnectGraceMs);
    return now >= this.#disconnectAt ? 'slow_consumer' : null;
  }

  #tellHealth(): void {
    const state = this.#health.state;
    const untilDisconnect = this.#disconnectAt - this.#context.clock.now();
    const untilStalled = this.stallAfterMs - this.outbox.stalledMs;
    const evictAfterMs = Math.ceil(Math.min(untilStalled, untilDisconnect));
    this.send({
      type: 'health',
      state,
      queued: { messages: this.queuedMessages, bytes: this.queuedBytes },
      ...(state === 'healthy' ? {} : { evictAfterMs: Math.max(0, evictAfterMs) }),
    });
  }
}
