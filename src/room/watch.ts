/**
 * A member watching the presence of a room: the revision it has reached, and whether it waits for its
 * turn. Nothing else is held for it, however much changes and however slowly it reads (V19).
 */
import type { Cursor } from './cursors.js';
import type { Batch } from './frame.js';
import type { Observer } from './observer.js';
import type { Roster } from './roster.js';
import type { Subscription } from './subscription.js';

/** Value of `at` once the watcher has the whole list. */
export const DONE = Number.POSITIVE_INFINITY;

export class Watch implements Cursor {
  readonly subscription: Subscription;
  readonly roster: Roster;
  readonly #observer: Observer;
  /** The revision the watcher has reached. */
  rev = -1;
  /** While the list is sent: the `born` of the last user sent. */
  at = 0;
  /** Generation of the roster when the list was started; 0 before that. */
  generation = 0;
  /** It is queued in its outbox. */
  isWaiting = false;

  constructor(subscription: Subscription, roster: Roster, observer: Observer) {
    this.subscription = subscription;
    this.roster = roster;
    this.#observer = observer;
  }

  /** Whether there is something to send to it and it still watches. */
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
