/**
 * How one connection of a member reads: everything, nothing, or a byte budget. Also records what follows
 * after it did not read: recovery, or eviction. Not here: when to stop and start (member.ts), the
 * messages (session.ts).
 */
import type { Crew } from './crew.js';
import type { Tally } from './measure/tally.js';
import type { Link } from './targets/target.js';

/** A member that receives a message at most this old, in µs, has recovered. */
const RECOVERED = 250_000;

export class Reading {
  readonly #crew: Crew;
  readonly #tally: Tally;
  readonly #link: () => Link;
  #budget = Number.POSITIVE_INFINITY;
  /** When it was told to read again; 0 once it has recovered. */
  #resumedAt = 0;
  #stoppedAt = 0;
  /** True from when it reads again until it receives a recent message. */
  #catchingUp = false;

  constructor(crew: Crew, tally: Tally, link: () => Link) {
    this.#crew = crew;
    this.#tally = tally;
    this.#link = link;
  }

  /** True while it does not read at all. */
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

  /** Allows `bytes` more to be read. From the first call on, only granted bytes are read. */
  grant(bytes: number): void {
    const left = this.#budget === Number.POSITIVE_INFINITY ? 0 : this.#budget;
    this.#budget = Math.min(left + bytes, 2 * bytes);
    if (this.#budget > 0) this.#link().resume();
  }

  /** Subtracts read bytes from the budget. */
  took(bytes: number): void {
    this.#budget -= bytes;
    if (this.#budget <= 0) this.#link().pause();
  }

  /** A message due at `due` arrived at `now`; the first recent one marks the recovery. */
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
    // The end was queued behind unread data, so it happened at an unknown earlier time.
    else if (this.#catchingUp) counters.endedUnread++;
  }
}
