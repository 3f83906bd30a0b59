/**
 * What one member reads besides live messages, one batch at a time, and in which order: replays
 * alternate with live messages, then presence, then backfills (V18, V19).
 *
 * Not here: live messages (`queues.ts`), the batches themselves (`replays.ts`, `watch.ts`,
 * `backfills.ts`).
 */
import type { Batch } from './frame.js';
import type { Subscription } from './subscription.js';
import type { Watch } from './watch.js';

/**
 * A backfill page waits for at most this many other batches, so that it also reaches a member that polls
 * or is in a busy room.
 */
const PASSING = 8;

/** A source of batches for the member besides the live messages. */
export interface Cursor {
  readonly subscription: Subscription;
  /** The next batch, or null if there is none now. */
  next(): Batch | null;
}

/** State of the outbox besides the cursors. */
export interface OutboxState {
  /** Control frames wait; they go before everything else. */
  readonly hasControl: boolean;
  /** Control frames, messages or losses wait. */
  readonly hasWork: boolean;
  /** Messages were dropped for the member recently. */
  readonly isShedding: boolean;
}

export class Cursors {
  /** Replays that may hand over one batch each, in turn. */
  #replays: Cursor[] = [];
  /** The last batch came from a replay. */
  #wasReplay = false;
  #shows: Watch[] = [];
  #backfill: Cursor | null = null;
  /** Batches sent while the backfill waited. */
  #passed = 0;

  replay(cursor: Cursor): void {
    this.#replays.push(cursor);
  }

  show(watch: Watch): void {
    this.#shows.push(watch);
  }

  backfill(cursor: Cursor): void {
    this.#backfill = cursor;
  }

  /** The cursor whose turn it is; undefined if control frames and live messages are next. */
  next(state: OutboxState): Cursor | undefined {
    const replay = this.#nextReplay(state);
    const cursor = replay ?? this.#nextShow(state) ?? this.#nextBackfill(state);
    this.#wasReplay = replay !== undefined;
    if (this.#backfill === null) this.#passed = 0;
    else if (state.hasWork) this.#passed += 1;
    return cursor;
  }

  /** The member has left the room. */
  leave(subscription: Subscription): void {
    this.#replays = this.#replays.filter((replay) => replay.subscription !== subscription);
    this.#shows = this.#shows.filter((watch) => watch.subscription !== subscription);
    if (this.#backfill?.subscription === subscription) this.#backfill = null;
  }

  end(): void {
    this.#replays = [];
    this.#shows = [];
    this.#backfill = null;
  }

  #nextReplay({ hasControl, hasWork }: OutboxState): Cursor | undefined {
    if (hasControl || (this.#wasReplay && hasWork)) return undefined;
    return this.#replays.shift();
  }

  /** A watch with more to send queues again, behind the others. */
  #nextShow({ hasWork }: OutboxState): Cursor | undefined {
    if (hasWork) return undefined;
    const watch = this.#shows.shift();
    if (watch === undefined) return undefined;
    watch.isWaiting = watch.isBehind;
    if (watch.isWaiting) this.#shows.push(watch);
    return watch;
  }

  /**
   * While the member is shedding, a backfill would displace live messages, which it would then request
   * too.
   */
  #nextBackfill({ hasControl, hasWork, isShedding }: OutboxState): Cursor | undefined {
    if (hasControl || isShedding || (hasWork && this.#passed < PASSING)) return undefined;
    const backfill = this.#backfill ?? undefined;
    this.#backfill = null;
    return backfill;
  }
}
