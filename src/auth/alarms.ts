/**
 * Calls at wall-clock times, such as the expiry of a token. There is no timer per call: one interval checks
 * for all that are due. If the system clock is set, the calls move with it; no time is too far ahead for
 * a timer.
 *
 * V16: a call is late by at most one interval plus the time of the calls before it. V1: many due calls
 * run in slices, between which the event loop continues. V8: `close` ends it.
 */
import { survived } from '../survived.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';

/** Milliseconds between two checks: half of what V16 allows. */
const LOOK_MS = 500;
/** Maximum time for calls in one turn of the loop, in milliseconds. */
const SLICE_MS = 5;

export interface Alarm {
  /** Removes it, so that it is not called. */
  cancel(): void;
}

interface Entry extends Alarm {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ring: () => void;
}

export class Alarms {
  /** Alarms by the second in which they are due. */
  readonly #seconds = new Map<number, Set<Entry>>();
  readonly #due = new Set<Entry>();
  readonly #looks: NodeJS.Timeout;
  #isRinging = false;

  constructor() {
    this.#looks = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Calls `ring` at the time `at`. An error that it throws does not affect others (V12). */
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

  /** Number of alarms set. */
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
