/**
 * A member that is told who is in a room: where it has come to, and whether it waits for its turn. That is
 * all that is held for it, however much changes and however slowly it reads (V19).
 */
import type { Cursor } from './cursors.js';
import type { Batch } from './frame.js';
import type { Observer } from './observer.js';
import type { Roster } from './roster.js';
import type { Subscription } from './subscription.js';

/** It has been told the whole list. */
export const DONE = Number.POSITIVE_INFINITY;

export class Watch implements Cursor {
  readonly subscription: Subscription;
  readonly roster: Roster;
  readonly #observer: Observer;
  /** It knows everything up to there. */
  rev = -1;
  /** In the middle of the list: the last user that it was told. */
  at = 0;
  /** Of the roster, when it was told the list; 0: never. */
  generation = 0;
  /** It waits for its turn to be told. */
  isWaiting = false;

  constructor(subscription: Subscription, roster: Roster, observer: Observer) {
    this.subscription = subscription;
    this.roster = roster;
    this.#observer = observer;
  }

  /** There is something to tell it, as long as it watches. */
  get isBehind(): boolean {
    return this.roster.watches.has(this) && this.roster.isBehind(this);
  }

  next(): Batch | null {
    if (!this.isBehind) return null;
    const shown = this.roster.next(this);
    const batch = shown.for(this.subscription.outbox);
    this.#observer.presenceShown(shown.kind, batch.bytes.length);
    return batch;
  }
}
