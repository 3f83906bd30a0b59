/**
 * The fan-out backlog of all rooms of a server and its bounds (V3). The same rule serves local
 * publishers, who are refused, and messages from other nodes, which are dropped since their publishers
 * cannot be refused.
 *
 * V23: a node more than `SHEDS_AT_MS` behind its broker drops incoming messages until it has caught up,
 * so that it announces the loss itself before the broker disconnects it.
 *
 * Not here: the messages (`room.ts`), turning new connections away (`hub.ts`).
 */
import type { Config } from '../options/config.js';

/**
 * A room may hold up to this many times the free budget; a single busy room thus gets 4/5 of the total.
 */
const SHARE = 4;
/** Milliseconds behind the broker from which the node takes no new members. */
const LAGGING_AT_MS = 1000;
/** Milliseconds behind the broker from which the node drops incoming messages. */
const SHEDS_AT_MS = 5000;

export class Backlog {
  /** Bytes of UTF-8 in all rooms. */
  bytes = 0;
  readonly #config: Pick<Config, 'roomBacklogBytes' | 'queueBytesTotal'>;
  #lagMs = 0;
  /** The node is shedding: incoming messages are dropped. */
  #isShut = false;

  constructor(config: Pick<Config, 'roomBacklogBytes' | 'queueBytesTotal'>) {
    this.#config = config;
  }

  /** Sets how far this node is behind its broker, in milliseconds. */
  lag(ms: number): void {
    this.#lagMs = ms;
    this.#isShut = ms > SHEDS_AT_MS;
  }

  get isLagging(): boolean {
    return this.#lagMs > LAGGING_AT_MS;
  }

  /** Whether a room with `bytes` bytes waiting must drop incoming messages. */
  isOver(bytes: number): boolean {
    return bytes > this.#config.roomBacklogBytes || this.isFull(bytes) || this.#isShut;
  }

  /**
   * Whether a room with `bytes` bytes waiting is full. A room may hold up to `SHARE` times what is left
   * of `queueBytesTotal`, so that busy rooms share it, however many they are, and leave some free. A
   * room with nothing waiting does not suffer from their backlog: it is checked against twice the total.
   */
  isFull(bytes: number): boolean {
    const left = (bytes === 0 ? 2 : 1) * this.#config.queueBytesTotal - this.bytes;
    return left * SHARE <= bytes;
  }
}
