/**
 * Decides whether the peer of a WebSocket is alive (V13). An idle peer is pinged once an interval and
 * has an interval to answer. A peer that was written to is pinged after a quarter of `stallAfterMs` and
 * may be silent for all of it, however much the kernel holds before the ping. Any sign of life counts:
 * input, even half a frame, any pong, bytes taken.
 *
 * Not here: the signs of life (`progress.ts`), what a pong confirms (`pings.ts`), a peer whose socket
 * takes no more, which the stall timeout covers (`room/outbox.ts`).
 */
import type { Socket } from 'node:net';
import { Pings, SMALL_BYTES, type Written } from './pings.js';
import { Progress, type Watch } from './progress.js';

/** Minimum time between two pings in a stream of messages to a peer that answers. */
const MARK_MS = 2000;
/** Minimum timeout of a pong, whatever `stallAfterMs` is: the network may take as long. */
const LEAST_PATIENCE_MS = 1000;

export interface Patience {
  /** Milliseconds between heartbeats. */
  readonly intervalMs: number;
  readonly stallAfterMs: number;
}

export class Heartbeat {
  readonly progress: Progress;
  readonly #pings = new Pings();
  readonly #watch: Watch;
  #pingedAt = Number.NEGATIVE_INFINITY;
  /** When the first ping since the last sign of life was sent. */
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Since when something written is unconfirmed, as far as noticed; 0 if nothing is. */
  #owesSince = 0;

  constructor(watch: Watch, socket: Socket) {
    this.#watch = watch;
    this.progress = new Progress(watch, socket);
  }

  get confirmed(): Written {
    return this.#pings.confirmed;
  }

  /**
   * Call a few times a second. `now` is in loop clock milliseconds, `written` the total bytes written.
   */
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
    // With little or nothing to read before the ping, the answer takes only the network's time.
    const patienceMs = unreadBytes === 0 ? intervalMs : Math.min(intervalMs, stallMs * (3 / 4));
    return now - this.#askedAt >= patienceMs ? 'gone' : null;
  }

  /**
   * Whether to ping after much was written, to see how far a slow peer has read. A peer that answers is
   * not slow, and is pinged again only after a while.
   */
  get wantsMark(): boolean {
    if (this.#pings.size > 0) return !this.#pings.isFull;
    return this.#watch.clock.now() - this.#pingedAt >= MARK_MS;
  }

  /** Creates a ping, which must be written now. */
  ping(written: Written): Buffer {
    this.#pingedAt = this.#watch.clock.now();
    if (this.#askedAt <= this.#seenAt) this.#askedAt = this.#pingedAt;
    if (this.#owesSince === 0) this.#owesSince = this.#pingedAt;
    return this.#pings.next(written);
  }

  /** The peer has sent something. */
  heard(): void {
    this.progress.heard();
    this.#pings.untime();
  }

  /**
   * Handles a pong. Returns the round trip in seconds if the pong measures it. `payload` has one
   * character per byte; `written` is the total bytes written.
   */
  ponged(payload: string, written: number): number | null {
    const seconds = this.#pings.confirm(payload);
    this.progress.heard();
    if (seconds === false) return null;
    this.progress.taken();
    if (this.#pings.size === 0 && this.#pings.confirmed.bytes === written) this.#owesSince = 0;
    return seconds;
  }

  /** When the last sign of life was seen. */
  get #seenAt(): number {
    return Math.max(this.progress.takenAt, this.progress.heardAt);
  }

  #silentMs(now: number): number {
    return now - Math.max(this.#owesSince, this.#seenAt);
  }
}
