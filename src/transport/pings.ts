/**
 * Pings to one peer, each a mark in what is written to it: its pong confirms that everything before
 * the mark has been read. Several may be on their way, at most `MAX_MARKS` (V3). What a ping says
 * cannot be guessed, so that a peer confirms nothing it has not read.
 *
 * Not here: when to ping and what silence means (`heartbeat.ts`).
 */
import { randomFillSync } from 'node:crypto';
import { nowMs } from '../time.js';

/** With `MARK_BYTES` between two, more than any kernel holds. */
const MAX_MARKS = 64;
/** What is read in no time: with no more than this before it, a pong takes as long as the network does. */
export const SMALL_BYTES = 16 * 1024;

const PING = 0x89;
const TOKEN_BYTES = 8;
const HEAD_BYTES = 2;
/** Asking for random bytes costs more than the bytes: those of so many pings are asked for at once. */
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

/** How much was written to a peer, ever. */
export interface Written {
  readonly bytes: number;
  readonly messages: number;
}

interface Mark {
  readonly token: string;
  readonly written: Written;
  /** `nowMs()`, or 0 where its pong is not to be timed. */
  sentAt: number;
}

const NOTHING: Written = { bytes: 0, messages: 0 };

export class Pings {
  readonly #marks: Mark[] = [];
  #confirmed = NOTHING;

  /** How far the peer has confirmed to have read. */
  get confirmed(): Written {
    return this.#confirmed;
  }

  /** On their way. */
  get size(): number {
    return this.#marks.length;
  }

  get isFull(): boolean {
    return this.#marks.length >= MAX_MARKS;
  }

  /** What lies before the oldest ping on its way and is not confirmed, in bytes. */
  get bytesBefore(): number {
    const [oldest] = this.#marks;
    return oldest === undefined ? 0 : oldest.written.bytes - this.#confirmed.bytes;
  }

  /** A frame to be written now. */
  next(written: Written): Buffer {
    // A peer that answers without saying which ping it means confirms none, and may go on so.
    if (this.isFull) this.#marks.shift();
    const frame = pingFrame();
    const isAlone = this.#marks.length === 0;
    const isTimed = isAlone && written.bytes - this.#confirmed.bytes <= SMALL_BYTES;
    const token = frame.toString('latin1', HEAD_BYTES);
    this.#marks.push({ token, written, sentAt: isTimed ? nowMs() : 0 });
    return frame;
  }

  /**
   * What a pong with this payload says, a character a byte: false where it answers none of the pings on
   * their way, else the seconds it took, or null where something but the network has taken time.
   */
  confirm(token: string): number | null | false {
    const at = this.#marks.findIndex((mark) => mark.token === token);
    const mark = this.#marks[at];
    if (mark === undefined) return false;
    // A peer may answer the latest ping only.
    this.#marks.splice(0, at + 1);
    this.#confirmed = mark.written;
    return mark.sentAt === 0 ? null : (nowMs() - mark.sentAt) / 1000;
  }

  /** The peer is speaking: the time its pong takes says nothing of the network. */
  untime(): void {
    for (const mark of this.#marks) mark.sentAt = 0;
  }
}
