/**
 * Users whose last connection has ended, and who are waited for: so many milliseconds each, and so many in
 * all. V8: `close` ends the timer.
 */
import { clearInterval, nowMs, setInterval } from '../time.js';
import type { Entry } from './occupants.js';
import type { Roster } from './roster.js';

/** How often it is looked whose time is over, in milliseconds. */
const SWEEP_MS = 1000;
/** Users that linger, in all rooms; the earliest go for others. */
const MAX_LINGERING = 100_000;

interface Waiting {
  readonly roster: Roster;
  readonly entry: Entry;
  /** By `nowMs()`. */
  readonly until: number;
}

export class Lingering {
  /** By how long they linger, the earliest first. */
  readonly #all = new Map<number, Map<Entry, Waiting>>();
  readonly #over: (roster: Roster, entry: Entry) => void;
  #size = 0;
  #sweep: NodeJS.Timeout | undefined;

  /** `over`: nobody waits for the user any more. */
  constructor(over: (roster: Roster, entry: Entry) => void) {
    this.#over = over;
  }

  get size(): number {
    return this.#size;
  }

  add(roster: Roster, entry: Entry): void {
    const ms = roster.policy.presenceLingerMs;
    const waiting = { roster, entry, until: nowMs() + ms };
    const others = this.#all.get(ms);
    if (others === undefined) this.#all.set(ms, new Map([[entry, waiting]]));
    else others.set(entry, waiting);
    this.#size += 1;
    this.#sweep ??= setInterval(() => this.#look(), SWEEP_MS).unref();
    if (this.#size > MAX_LINGERING) this.#endFirst();
  }

  /** It lingers no more; it is in the roster as before. */
  rest(roster: Roster, entry: Entry): void {
    if (this.#all.get(roster.policy.presenceLingerMs)?.delete(entry)) this.#size -= 1;
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#all.clear();
  }

  #end({ roster, entry }: Waiting): void {
    this.rest(roster, entry);
    this.#over(roster, entry);
  }

  #look(): void {
    const now = nowMs();
    for (const all of this.#all.values()) {
      for (const waiting of all.values()) {
        if (waiting.until > now) break;
        this.#end(waiting);
      }
    }
    if (this.#size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #endFirst(): void {
    let first: Waiting | undefined;
    for (const all of this.#all.values()) {
      const [one] = all.values();
      if (one !== undefined && one.until < (first?.until ?? Number.POSITIVE_INFINITY)) first = one;
    }
    if (first !== undefined) this.#end(first);
  }
}
