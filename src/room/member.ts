/**
 * A connection as rooms see it: who it is, which rooms it is in, how far it is behind, and a lane of
 * its own for control frames. With its outbox it owns everything the server holds for the peer.
 *
 * V3: the control lane is bounded, as the outbox is. V5: control frames are never dropped; past the
 * bound of their lane the member is evicted.
 *
 * Not here: messages on their way to it (`outbox.ts`), who is in which room (`room.ts`), what closes
 * a connection (`session/session.ts`).
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

/** What all members of a server share. */
export interface MemberContext extends ControlBounds, OutboxContext {
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

export class Member implements Owner {
  readonly subscriptions = new Map<string, Subscription>();
  /** Once it is in a room, only `Memberships.identify` changes it. */
  identity: Identity = ANYONE;
  readonly connectedAt = Date.now();
  /** The latest heartbeat's, or null before one. */
  roundTripSeconds: number | null = null;
  readonly outbox: Outbox;

  readonly #context: MemberContext;
  readonly #health = new Health();
  /** The strictest of the namespaces the member is in. */
  #thresholds: Thresholds;
  readonly #control: ControlLane;
  /** When the `disconnect` policy ends the member, unless it recovers; by the clock of the loop. */
  #disconnectAt = Number.POSITIVE_INFINITY;
  /** A control frame was refused: nothing may be handed over behind it. */
  #hasOverflowed = false;
  #hasEnded = false;
  /** What it was last told of the broker. */
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

  /** Messages the member has been offered and the kernel has not got yet (V10). */
  get queuedMessages(): number {
    return this.outbox.messages;
  }

  /** Bytes held for this member: queues, control lane and the batch outstanding. */
  get queuedBytes(): number {
    return this.#control.bytes + this.outbox.bytes;
  }

  /** The strictest of the namespaces the member is in. */
  get stallAfterMs(): number {
    return this.#thresholds.stallAfterMs;
  }

  /** Age of the oldest undelivered message or reply in milliseconds, 0 without one. */
  lagMs(now: number): number {
    return this.outbox.lagMs(now);
  }

  /** Sends a control frame: before any data, never dropped, but past its bound the member goes (V5). */
  send(event: Event): void {
    if (this.#hasEnded || this.#hasOverflowed) return;
    const bytes = this.outbox.format.encode(event);
    // A burst of commands in one read must not overflow a lane the peer is willing to read.
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

  /** Says that the broker can, or cannot, be reached, unless the member knows. */
  tellBroker(state: 'up' | 'suspended'): void {
    if (this.#brokerState === state) return;
    this.#brokerState = state;
    this.send({ type: 'broker', state });
  }

  /**
   * Judges how the member stands; called a few times a second while it is behind. Returns the
   * reason when it has to be evicted.
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
    // A peer that is between two polls is not slow for it.
    const lagMs = outbox.isBetweenPolls ? 0 : outbox.lagMs(now);
    if (this.#health.check({ now, lagMs, isUnderHalf, lagAfterMs, recoverAfterMs })) {
      this.#tellHealth();
      // What was parked goes on.
      outbox.drain();
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
   * had of what was published until now (`last`) is announced (V4).
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

  /** The control frames not yet handed over and `event` behind them, as one last batch. */
  farewell(event: Event): Buffer {
    const frames = [...this.#control.frames, this.outbox.format.encode(event)];
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    return this.transport.framing.join(frames, bytes);
  }

  /** Lets go of everything held for the member; messages it had not had are abandoned. */
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
