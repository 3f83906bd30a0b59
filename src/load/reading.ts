/**
 * How one connection of a member reads: at once, not at all, or so many bytes; and what becomes of one
 * that has not read: up to date again, or ended meanwhile. Not here: when it is told to (member.ts),
 * what it reads (session.ts).
 */
import type { Crew } from './crew.js';
import type { Tally } from './measure/tally.js';
import type { Link } from './targets/target.js';

/** A member that is this little behind again counts as recovered, in µs. */
const RECOVERED = 250_000;

export class Reading {
  readonly #crew: Crew;
  readonly #tally: Tally;
  readonly #link: () => Link;
  #budget = Number.POSITIVE_INFINITY;
  /** When it was told to read again; 0 once it is up to date. */
  #resumedAt = 0;
  #stoppedAt = 0;
  /** Reads again, and has not yet seen anything recent. */
  #catchingUp = false;

  constructor(crew: Crew, tally: Tally, link: () => Link) {
    this.#crew = crew;
    this.#tally = tally;
    this.#link = link;
  }

  /** True while it is told not to read at all. */
  get isStopped(): boolean {
    return this.#stoppedAt !== 0;
  }

  stop(): void {
    this.#stoppedAt = this.#crew.now();
    this.#resumedAt = 0;
    this.#catchingUp = false;
    this.#link().pause();
  }

  start(): void {
    const slow = this.#stoppedAt !== 0 || this.#budget !== Number.POSITIVE_INFINITY;
    if (slow && this.#crew.stage === 'publishing') this.#resumedAt = this.#crew.now();
    this.#catchingUp = this.#stoppedAt !== 0;
    this.#stoppedAt = 0;
    this.#budget = Number.POSITIVE_INFINITY;
    this.#link().resume();
  }

  /** Allows `bytes` more to be read; from the first call on, nothing beyond what is allowed. */
  grant(bytes: number): void {
    const left = this.#budget === Number.POSITIVE_INFINITY ? 0 : this.#budget;
    this.#budget = Math.min(left + bytes, 2 * bytes);
    if (this.#budget > 0) this.#link().resume();
  }

  /** So many bytes have been read. */
  took(bytes: number): void {
    this.#budget -= bytes;
    if (this.#budget <= 0) this.#link().pause();
  }

  /** A message that was due at `due` came at `now`: with the first recent one it is up to date. */
  message(due: number, now: number): void {
    if (!this.#catchingUp && this.#resumedAt === 0) return;
    if (now - due >= RECOVERED) return;
    if (this.#resumedAt !== 0) this.#tally.recoveries.record(now - this.#resumedAt);
    this.#resumedAt = 0;
    this.#catchingUp = false;
  }

  /** The server has ended the connection. */
  ended(): void {
    const { counters, evictions } = this.#tally;
    if (this.#stoppedAt !== 0) evictions.record(this.#crew.now() - this.#stoppedAt);
    // What ended it lay behind what was not read: it happened at some time before.
    else if (this.#catchingUp) counters.endedUnread++;
  }
}
