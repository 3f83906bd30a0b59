/**
 * What one member is not going to have, as it is told: which of its rooms have lost something, why, and the
 * gaps that say so.
 *
 * V4: gaps are not stored but derived when a queue is drained, from what was handed over last and what
 * comes next, so none can be forgotten. Here is only kept where no later message may show one.
 *
 * Not here: what a queue has no room for (`send-queue.ts`), where a gap goes among messages (`outbox.ts`).
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
  /** Of the app. */
  readonly events: Pick<Events, 'said'>;
}

/** The member that is told. */
export interface Recipient {
  readonly id: string;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** A message was dropped, not for a newer one of its key. */
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
  /** Rooms with a loss that no later message may announce. */
  /** Null until something was missed, as of most members. */
  #rooms: Set<Subscription> | null = null;

  constructor(member: Recipient, format: Format, context: LossesContext) {
    this.#member = member;
    this.#format = format;
    this.#context = context;
  }

  /** Rooms of which something has yet to be told. */
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

  /** A newer message of its key has taken the place of a frame. */
  conflated(frame: Frame): void {
    this.#lost(frame, 'conflated');
  }

  /** A queue of that policy had no room for a frame. */
  overflowed(frame: Frame, policy: QueuePolicy['policy']): void {
    this.#lost(frame, DROP_REASON[policy]);
  }

  /** What says that the member is not going to have anything up to `to`, onto `parts`; the bytes of that. */
  skip(subscription: Subscription, to: number, parts: Buffer[]): number {
    return this.announce(subscription.skip(to), parts);
  }

  /** The losses that no later message will announce, since the queue has run empty, as far as `maxBytes` go. */
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

  /** Frames of `events` onto `parts`; the bytes of them. */
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
    // It was not for this member: nothing is missing without it.
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
