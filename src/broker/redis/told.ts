/**
 * Passes the broker's deliveries, resets and losses to the callbacks of its user, and counts them.
 *
 * Not here: what to report (`topic.ts`), the broker's state (`redis.ts`).
 */
import type { Position, Publication } from '../broker.js';
import { NONE, type RedisCounts } from './numbers.js';
import type { TopicEvents } from './topic.js';

export class Told implements TopicEvents {
  onDeliver: (publication: Publication) => void = () => {};
  onReset: (room: string, position: Position, was: Position) => void = () => {};
  onLost: (room: string, to: number) => void = () => {};
  readonly counts: RedisCounts = { ...NONE };

  deliver(publication: Publication): void {
    this.onDeliver(publication);
  }

  reset(room: string, position: Position, was: Position): void {
    this.counts.resets += 1;
    this.onReset(room, position, was);
  }

  lost(room: string, to: number, messages: number): void {
    this.counts.lost += messages;
    this.onLost(room, to);
  }

  duplicate(): void {
    this.counts.duplicates += 1;
  }

  backfilled(messages: number): void {
    this.counts.backfilled += messages;
  }

  /** A message could not be parsed. */
  unreadable(): void {
    this.counts.unreadable += 1;
  }
}
