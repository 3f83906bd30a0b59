/**
 * What waits to be fanned out in all rooms of a server, and how much may (V3): one rule for those who publish
 * here, who are refused, and for what comes from elsewhere, whose publishers cannot be.
 *
 * V23: a node that is `SHEDS_AT_MS` behind its broker takes in nothing more until it has caught up, so that it
 * tells what it cannot pass on before the broker cuts it.
 *
 * Not here: what waits (`room.ts`), what it means for new connections that the node is behind (`hub.ts`).
 */
import type { Config } from '../options/config.js';

/** One busy room alone gets four fifths of the backlog of all. */
const SHARE = 4;
/** Milliseconds behind the broker from which a node is not to have more members. */
const LAGGING_AT_MS = 1000;
/** And from which it lets go of what comes. */
const SHEDS_AT_MS = 5000;

export class Backlog {
  /** Of UTF-8, of all rooms. */
  bytes = 0;
  readonly #config: Pick<Config, 'roomBacklogBytes' | 'queueBytesTotal'>;
  #lagMs = 0;
  /** Nothing is taken in. */
  #isShut = false;

  constructor(config: Pick<Config, 'roomBacklogBytes' | 'queueBytesTotal'>) {
    this.#config = config;
  }

  /** How far this node is behind its broker now. */
  lag(ms: number): void {
    this.#lagMs = ms;
    this.#isShut = ms > SHEDS_AT_MS;
  }

  get isLagging(): boolean {
    return this.#lagMs > LAGGING_AT_MS;
  }

  /** Whether a room with so many bytes waiting takes no more in. */
  isOver(bytes: number): boolean {
    return bytes > this.#config.roomBacklogBytes || this.isFull(bytes) || this.#isShut;
  }

  /**
   * A room may have waiting up to `SHARE` times what is left of `queueBytesTotal`, so that busy rooms share
   * it however many they are and leave some. One with nothing waiting does not pay for their backlog: for
   * such there is as much again.
   */
  isFull(bytes: number): boolean {
    const left = (bytes === 0 ? 2 : 1) * this.#config.queueBytesTotal - this.bytes;
    return left * SHARE <= bytes;
  }
}
