/**
 * Whether the peer of a WebSocket is still there (V13). A peer to which nothing was written is
 * pinged once an interval, and has an interval for its answer. One to which something was written
 * is pinged after a quarter of `stallAfterMs`, and may be silent for all of it, however much lies
 * in the kernel before the ping. Any sign of life counts: what it says, a frame half received, a pong to whatever, bytes
 * that it has taken.
 *
 * Not here: what the signs are (`progress.ts`), what a pong confirms (`pings.ts`), a peer whose
 * socket takes no more, which the stall clock judges (`room/outbox.ts`).
 */
import type { Socket } from 'node:net';
import { Pings, SMALL_BYTES, type Written } from './pings.js';
import { Progress, type Watch } from './progress.js';

/** How often a peer that answers is pinged in a stream of messages, at most. */
const MARK_MS = 2000;
/** Patience for a pong is never less, whatever `stallAfterMs` says: a network may be as slow. */
const LEAST_PATIENCE_MS = 1000;

export interface Patience {
  /** Between heartbeats, in milliseconds. */
  readonly intervalMs: number;
  readonly stallAfterMs: number;
}

export class Heartbeat {
  readonly progress: Progress;
  readonly #pings = new Pings();
  readonly #watch: Watch;
  #pingedAt = Number.NEGATIVE_INFINITY;
  /** When it was first pinged since it was last seen. */
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Since when there is something that the peer has not confirmed, as far as noticed; 0: nothing. */
  #owesSince = 0;

  constructor(watch: Watch, socket: Socket) {
    this.#watch = watch;
    this.progress = new Progress(watch, socket);
  }

  get confirmed(): Written {
    return this.#pings.confirmed;
  }

  /** To be asked a few times a second. `now`: of the clock of the loop; `written`: bytes, ever. */
  judge(
    now: number,
    written: number,
    { intervalMs, stallAfterMs }: Patience,
  ): 'ping' | 'gone' | null {
    if (this.#owesSince === 0) {
      if (written > this.#pings.confirmed.bytes) this.#owesSince = now;
      else if (now - this.#seenAt >= intervalMs) return 'ping';
      return null;
    }
    const stallMs = Math.max(stallAfterMs, LEAST_PATIENCE_MS);
    const suspectMs = Math.min(stallMs, intervalMs) / 4;
    if (this.#silentMs(now) < suspectMs) return null;
    this.progress.look();
    const silentMs = this.#silentMs(now);
    if (silentMs < suspectMs) return null;
    if (this.#askedAt <= this.#seenAt) {
      return silentMs >= Math.min(stallMs / 4, intervalMs) ? 'ping' : null;
    }
    this.progress.suspect();
    const unreadBytes = this.#pings.bytesBefore;
    if (unreadBytes > SMALL_BYTES) return silentMs >= stallMs ? 'gone' : null;
    // With little or nothing to read before the ping, its answer takes what the network takes.
    const patienceMs = unreadBytes === 0 ? intervalMs : Math.min(intervalMs, stallMs * (3 / 4));
    return now - this.#askedAt >= patienceMs ? 'gone' : null;
  }

  /**
   * Much has been written since the last ping: whether one is wanted, to see how far a slow peer
   * has got. A peer that answers is not slow, and is asked again only after a while.
   */
  get wantsMark(): boolean {
    if (this.#pings.size > 0) return !this.#pings.isFull;
    return this.#watch.clock.now() - this.#pingedAt >= MARK_MS;
  }

  /** A ping, to be written now. */
  ping(written: Written): Buffer {
    this.#pingedAt = this.#watch.clock.now();
    if (this.#askedAt <= this.#seenAt) this.#askedAt = this.#pingedAt;
    if (this.#owesSince === 0) this.#owesSince = this.#pingedAt;
    return this.#pings.next(written);
  }

  /** The peer has said something. */
  heard(): void {
    this.progress.heard();
    this.#pings.untime();
  }

  /**
   * Returns the seconds of a round trip, where the pong tells them. `payload`: a character a byte;
   * `written`: bytes, ever.
   */
  ponged(payload: string, written: number): number | null {
    const seconds = this.#pings.confirm(payload);
    this.progress.heard();
    if (seconds === false) return null;
    this.progress.taken();
    if (this.#pings.size === 0 && this.#pings.confirmed.bytes === written) this.#owesSince = 0;
    return seconds;
  }

  /** When the peer last showed that it is there. */
  get #seenAt(): number {
    return Math.max(this.progress.takenAt, this.progress.heardAt);
  }

  #silentMs(now: number): number {
    return now - Math.max(this.#owesSince, this.#seenAt);
  }
}
