/**
 * Users whose last connection has ended and who may still return: each lingers `presenceLingerMs`, and
 * at most `MAX_LINGERING` linger at once. V8: `close` ends the timer.
 */
import { clearInterval, nowMs, setInterval } from '../time.js';
import type { Entry } from './occupants.js';
import type { Roster } from './roster.js';

/** Interval between checks for users whose time is over, in milliseconds. */
const SWEEP_MS = 1000;
/** Maximum lingering users in all rooms; beyond it the earliest is removed. */
const MAX_LINGERING = 100_000;

interface Waiting {
  readonly roster: Roster;
  readonly entry: Entry;
  /** By `nowMs()`. */
  readonly until: number;
}

export class Lingering {
  /** By linger time in milliseconds; the earliest first. */
  readonly #all = new Map<number, Map<Entry, Waiting>>();
  readonly #over: (roster: Roster, entry: Entry) => void;
  #size = 0;
  #sweep: NodeJS.Timeout | undefined;

  /** `over` is called when a user's time is over. */
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

  /** The user has returned and lingers no more. */
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
