/**
 * Pings in flight to one peer. Each marks a position in the output: its pong confirms that everything
 * before it was read. At most `MAX_MARKS` are in flight (V3). Payloads are random, so a peer cannot
 * confirm what it has not read.
 *
 * Not here: when to ping and what silence means (`heartbeat.ts`).
 */
import { randomFillSync } from 'node:crypto';
import { nowMs } from '../time.js';

/** With `MARK_BYTES` between them, more than any kernel buffers. */
const MAX_MARKS = 64;
/** Read in no time: with at most this many bytes before it, a pong takes only the network's time. */
export const SMALL_BYTES = 16 * 1024;

const PING = 0x89;
const TOKEN_BYTES = 8;
const HEAD_BYTES = 2;
/** Generated for many pings at once, since each call for random bytes is expensive. */
const POOL_BYTES = 512 * TOKEN_BYTES;
const pool = Buffer.alloc(POOL_BYTES);
let poolAt = POOL_BYTES;

function pingFrame(): Buffer {
  if (poolAt === POOL_BYTES) {
    randomFillSync(pool);
    poolAt = 0;
  }
  const frame = Buffer.allocUnsafe(HEAD_BYTES + TOKEN_BYTES);
  frame[0] = PING;
  frame[1] = TOKEN_BYTES;
  pool.copy(frame, HEAD_BYTES, poolAt, poolAt + TOKEN_BYTES);
  poolAt += TOKEN_BYTES;
  return frame;
}

/** Totals written to a peer. */
export interface Written {
  readonly bytes: number;
  readonly messages: number;
}

interface Mark {
  readonly token: string;
  readonly written: Written;
  /** `nowMs()`, or 0 if its pong does not measure the network. */
  sentAt: number;
}

const NOTHING: Written = { bytes: 0, messages: 0 };

export class Pings {
  readonly #marks: Mark[] = [];
  #confirmed = NOTHING;

  /** What the peer has confirmed to have read. */
  get confirmed(): Written {
    return this.#confirmed;
  }

  /** Pings in flight. */
  get size(): number {
    return this.#marks.length;
  }

  get isFull(): boolean {
    return this.#marks.length >= MAX_MARKS;
  }

  /** Unconfirmed bytes before the oldest ping in flight. */
  get bytesBefore(): number {
    const [oldest] = this.#marks;
    return oldest === undefined ? 0 : oldest.written.bytes - this.#confirmed.bytes;
  }

  /** Creates a ping frame, which must be written now. */
  next(written: Written): Buffer {
    // A peer whose pongs name no ping confirms none; it may go on doing so.
    if (this.isFull) this.#marks.shift();
    const frame = pingFrame();
    const isAlone = this.#marks.length === 0;
    const isTimed = isAlone && written.bytes - this.#confirmed.bytes <= SMALL_BYTES;
    const token = frame.toString('latin1', HEAD_BYTES);
    this.#marks.push({ token, written, sentAt: isTimed ? nowMs() : 0 });
    return frame;
  }

  /**
   * Handles a pong. Returns false if it answers no ping in flight, else its round trip in seconds, or
   * null if the time includes more than the network. `token` has one character per byte.
   */
  confirm(token: string): number | null | false {
    const at = this.#marks.findIndex((mark) => mark.token === token);
    const mark = this.#marks[at];
    if (mark === undefined) return false;
    // A peer may answer only the latest ping.
    this.#marks.splice(0, at + 1);
    this.#confirmed = mark.written;
    return mark.sentAt === 0 ? null : (nowMs() - mark.sentAt) / 1000;
  }

  /** The peer is sending: its pongs no longer measure the network. */
  untime(): void {
    for (const mark of this.#marks) mark.sentAt = 0;
  }
}
