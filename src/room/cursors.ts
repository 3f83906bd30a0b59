/**
 * What one member reads again or is shown, a batch at a time, and whose turn it is: what it has missed by
 * turns with what is live, then who is in rooms, then what it has asked for of before (V18, V19).
 *
 * Not here: what is live (`queues.ts`), what each hands over (`replays.ts`, `watch.ts`, `backfills.ts`).
 */
import type { Batch } from './frame.js';
import type { Subscription } from './subscription.js';
import type { Watch } from './watch.js';

/** Batches that go before a page of a backfill, at most: whoever polls, or is in a busy room, gets it too. */
const PASSING = 8;

/** Something that the member is handed a batch at a time, beside what is live. */
export interface Cursor {
  readonly subscription: Subscription;
  /** What is handed over next, or null where that is nothing now. */
  next(): Batch | null;
}

/** What there is beside cursors. */
export interface Beside {
  /** Replies, which go before all else. */
  readonly hasControl: boolean;
  /** Replies, messages or losses. */
  readonly hasWork: boolean;
  /** Messages were dropped for the member of late. */
  readonly isShedding: boolean;
}

export class Cursors {
  /** Each may hand over one batch, in turn. */
  #replays: Cursor[] = [];
  /** The last batch was of one. */
  #wasReplay = false;
  #shows: Watch[] = [];
  #backfill: Cursor | null = null;
  /** Batches that went before it. */
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

  /** Whose turn it is, or undefined where it is that of what is beside, if anything is. */
  next(beside: Beside): Cursor | undefined {
    const replay = this.#nextReplay(beside);
    const cursor = replay ?? this.#nextShow(beside) ?? this.#nextBackfill(beside);
    this.#wasReplay = replay !== undefined;
    if (this.#backfill === null) this.#passed = 0;
    else if (beside.hasWork) this.#passed += 1;
    return cursor;
  }

  /** The member is no longer in that room. */
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

  #nextReplay({ hasControl, hasWork }: Beside): Cursor | undefined {
    if (hasControl || (this.#wasReplay && hasWork)) return undefined;
    return this.#replays.shift();
  }

  /** One that has more to be told waits again, behind the others. */
  #nextShow({ hasWork }: Beside): Cursor | undefined {
    if (hasWork) return undefined;
    const watch = this.#shows.shift();
    if (watch === undefined) return undefined;
    watch.isWaiting = watch.isBehind;
    if (watch.isWaiting) this.#shows.push(watch);
    return watch;
  }

  /** While the member sheds, what it reads again would cost it what is live, which it would read again. */
  #nextBackfill({ hasControl, hasWork, isShedding }: Beside): Cursor | undefined {
    if (hasControl || isShedding || (hasWork && this.#passed < PASSING)) return undefined;
    const backfill = this.#backfill ?? undefined;
    this.#backfill = null;
    return backfill;
  }
}
