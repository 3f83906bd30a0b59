/**
 * Calls at times of the clock on the wall, such as the end of a token: no timer each, but one look at
 * all that are due. A clock that is set moves them with it, and no time is too far away for a timer.
 *
 * V16: a call is late by at most a look and the time that those before it take. V1: many at once are
 * made in slices, between which everything else goes on. V8: `close` ends it.
 */
import { survived } from '../survived.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';

/** Between two looks, in milliseconds: half of what V16 allows. */
const LOOK_MS = 500;
/** How long calls are made in one turn of the loop, in milliseconds. */
const SLICE_MS = 5;

export interface Alarm {
  /** It is not called any more. */
  cancel(): void;
}

interface Entry extends Alarm {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ring: () => void;
}

export class Alarms {
  /** By the second that they are due in. */
  readonly #seconds = new Map<number, Set<Entry>>();
  readonly #due = new Set<Entry>();
  readonly #looks: NodeJS.Timeout;
  #isRinging = false;

  constructor() {
    this.#looks = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** What `ring` throws ends no other (V12). */
  set(at: number, ring: () => void): Alarm {
    const second = Math.floor(at / 1000);
    const entry: Entry = {
      at,
      ring,
      cancel: () => {
        this.#due.delete(entry);
        const entries = this.#seconds.get(second);
        if (entries?.delete(entry) && entries.size === 0) this.#seconds.delete(second);
      },
    };
    const entries = this.#seconds.get(second);
    if (entries === undefined) this.#seconds.set(second, new Set([entry]));
    else entries.add(entry);
    return entry;
  }

  /** How many are set. */
  get size(): number {
    let size = this.#due.size;
    for (const entries of this.#seconds.values()) size += entries.size;
    return size;
  }

  close(): void {
    clearInterval(this.#looks);
    this.#seconds.clear();
    this.#due.clear();
  }

  #look(): void {
    const now = Date.now();
    for (const [second, entries] of this.#seconds) {
      if (second * 1000 > now) continue;
      for (const entry of entries) {
        if (entry.at > now) continue;
        entries.delete(entry);
        this.#due.add(entry);
      }
      if (entries.size === 0) this.#seconds.delete(second);
    }
    if (!this.#isRinging) this.#ring();
  }

  #ring(): void {
    const until = nowMs() + SLICE_MS;
    for (const entry of this.#due) {
      this.#due.delete(entry);
      survived(entry.ring)();
      if (nowMs() >= until) break;
    }
    this.#isRinging = this.#due.size > 0;
    if (this.#isRinging) setImmediate(() => this.#ring());
  }
}
