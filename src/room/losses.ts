/**
 * Losses of one member: the rooms in which it missed messages, the reasons, and the gap events that
 * announce them.
 *
 * V4: gaps are not stored; they are derived when a queue is drained, from the last number sent and the
 * next one, so none can be forgotten. Only rooms in which no later message may reveal the gap are kept
 * here.
 *
 * Not here: queue overflow (`send-queue.ts`), where gaps go among messages (`outbox.ts`).
 */
import type { Events } from '../events.js';
import type { QueuePolicy } from '../options/config.js';
import type { Event } from '../protocol/events.js';
import type { Format } from './format.js';
import type { Frame } from './frame.js';
import type { DropReason, Observer } from './observer.js';
import type { Subscription } from './subscription.js';

export interface LossesContext {
  readonly observer: Observer;
  /** Events for the embedding application. */
  readonly events: Pick<Events, 'said'>;
}

/** The member that the gaps are sent to. */
export interface Recipient {
  readonly id: string;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** A message was dropped, other than by conflation. */
  shed(): void;
}

const DROP_REASON: Record<QueuePolicy['policy'], DropReason> = {
  'drop-oldest': 'drop-oldest',
  'drop-newest': 'drop-newest',
  'latest-by-key': 'drop-oldest',
  disconnect: 'disconnect',
};

export class Losses {
  readonly #member: Recipient;
  readonly #format: Format;
  readonly #context: LossesContext;
  /**
   * Rooms with a loss that no later message may reveal. Null until the first loss, as for most members.
   */
  #rooms: Set<Subscription> | null = null;

  constructor(member: Recipient, format: Format, context: LossesContext) {
    this.#member = member;
    this.#format = format;
    this.#context = context;
  }

  /** Number of rooms with a loss not announced yet. */
  get size(): number {
    return this.#rooms?.size ?? 0;
  }

  add(subscription: Subscription): void {
    this.#rooms ??= new Set();
    this.#rooms.add(subscription);
  }

  delete(subscription: Subscription): void {
    this.#rooms?.delete(subscription);
  }

  clear(): void {
    this.#rooms = null;
  }

  /** A frame was replaced by a newer message with the same key. */
  conflated(frame: Frame): void {
    this.#lost(frame, 'conflated');
  }

  /** A queue with this policy dropped a frame. */
  overflowed(frame: Frame, policy: QueuePolicy['policy']): void {
    this.#lost(frame, DROP_REASON[policy]);
  }

  /**
   * Appends to `parts` the frames that announce everything up to `to` as missing. Returns their bytes.
   */
  skip(subscription: Subscription, to: number, parts: Buffer[]): number {
    return this.announce(subscription.skip(to), parts);
  }

  /**
   * Once the queues are empty: appends gaps for the rooms, up to about `maxBytes`. Returns their bytes.
   */
  take(parts: Buffer[], maxBytes: number): number {
    const rooms = this.#rooms;
    if (rooms === null) return 0;
    let bytes = 0;
    for (const subscription of rooms) {
      if (subscription.sent < subscription.offered) {
        if (bytes > maxBytes) break;
        bytes += this.skip(subscription, subscription.offered, parts);
      }
      rooms.delete(subscription);
    }
    return bytes;
  }

  /** Appends the frames of `events` to `parts`. Returns their bytes. */
  announce(events: readonly Event[], parts: Buffer[]): number {
    let bytes = 0;
    for (const event of events) {
      this.#context.events.said(this.#member.id, event);
      const frame = this.#format.encode(event);
      parts.push(frame);
      bytes += frame.length;
    }
    return bytes;
  }

  #lost(frame: Frame, reason: DropReason): void {
    const subscription = this.#member.subscriptions.get(frame.room) as Subscription;
    // The frame was not for this member, so nothing is missing.
    if (frame.bytes.length === 0 && frame.seq === subscription.sent + 1) {
      subscription.sent = frame.last;
      return;
    }
    this.add(subscription);
    if (reason !== 'conflated') {
      subscription.overflowed = frame.last;
      this.#member.shed();
    }
    if (frame.counted) this.#context.observer.dropped(reason, 1);
  }
}
