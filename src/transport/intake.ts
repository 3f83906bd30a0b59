/**
 * Input of a WebSocket between the socket and the receiver of `ws`, which is fed in pieces when the peer
 * has its turn (`turns.ts`). The most common frames, an unfragmented text and a pong, are decoded in
 * place instead, one per item of a turn. The socket of a peer that has to wait and has more than a
 * little here is paused, so that TCP holds the peer back.
 *
 * V3: counts the bytes really held, both input not handled yet and what the receiver keeps of an
 * incomplete message, for one connection (`message_too_big`) and for all (`memory_pressure`, closing the
 * largest holder). A piece is copied if the read was larger, so that a fragment of a byte does not hold
 * 64 KiB.
 *
 * Not here: frame decoding (`client-frame.ts`, `ws`), the meaning of frames (`websocket.ts`), the bound
 * of all connections (`intake-memory.ts`).
 */
import type { WebSocket } from 'ws';
import { nowMs } from '../time.js';
import type { Share, Turns, Work } from '../turns.js';
import { ClientFrame } from './client-frame.js';
import type { Holder, IntakeMemory } from './intake-memory.js';
import type { Reader } from './raw-read.js';
import type { Fault } from './transport.js';
import { type Taker, WsReceiver } from './ws-receiver.js';

/**
 * Bytes fed at once, which bounds the time of one item of a turn. A piece may be one large message or a
 * hundred commands, so a piece that took longer than `PIECE_MS` halves the next ones, and one that took
 * less than a quarter of that doubles them.
 */
const LEAST_PIECE_BYTES = 512;
const MOST_PIECE_BYTES = 8192;
const PIECE_MS = 0.5;
/** Bytes that may wait for their turn when the input ends, and are handled nevertheless. */
const LAST_BYTES = 512;
/** Cost of a piece's object besides its bytes. */
const OVERHEAD_BYTES = 256;
/**
 * Bytes a waiting peer may have here before its socket is paused. A socket that is not paused holds
 * nothing itself, so for peers that sent little the count is what they really hold; after a stall of the
 * server these are all peers at once.
 */
const KEPT_BYTES = 16 * 1024;
/** Bytes an incomplete message may hold besides twice the maximum message size. */
const SLACK_BYTES = 256 * 1024;
/** Cost of a waiting text besides its bytes. */
const TEXT_BYTES = 32;
/** Size of the read that Node may still have in flight, and keep, when a socket is paused. */
const READ_BYTES = 64 * 1024;
/** Maximum fragments of one message; their objects are not in the byte count. */
export const MAX_FRAGMENTS = 1024;

/** Shared by the intakes of all connections of a server. */
export interface IntakeInput {
  readonly turns: Turns;
  readonly memory: IntakeMemory;
  /** Maximum bytes of one frame, including what a dialect adds to a text. */
  readonly maxFrameBytes: number;
}

/** The transport that owns the intake. */
export interface IntakeOwner {
  /** An unfragmented text frame and its length in bytes. */
  text(text: string, bytes: number): void;
  /** The payload of a pong, one character per byte. */
  pong(payload: string): void;
  /** Handles one of several texts that arrived in one frame. */
  received(text: string): void;
  fault(reason: Fault): void;
}

/** Shared decoder; holds one frame during a call. */
const frame = new ClientFrame();

export class Intake implements Work, Reader, Taker, Holder {
  readonly #receiver: WsReceiver;
  readonly #input: IntakeInput;
  readonly #owner: IntakeOwner;
  readonly #share: Share;
  /** Read from the socket and not fed yet. */
  #chunks: Buffer[] = [];
  /** Bytes of the first chunk that are done. */
  #offset = 0;
  #unfedBytes = 0;
  #pieceBytes = LEAST_PIECE_BYTES;
  /** Bytes fed since the receiver last held no payload. */
  #unfinishedBytes = 0;
  #hasMessage = false;
  #texts: string[] = [];
  /** Bytes of the texts; 0 once none is left. */
  #textBytes = 0;
  /**
   * The read being decoded in place, valid until `read` returns; null if there is none, or the rest of
   * it goes to `ws`.
   */
  #view: DataView | null = null;
  /** Start of the next frame in it, and its end. */
  #at = 0;
  #end = 0;
  #counted = 0;
  /** The session has paused its input. */
  #isStopped = false;
  /** The socket is paused. */
  #isPaused = false;
  #isOver = false;

  /** Must be created before `ws` has read anything. */
  constructor(ws: WebSocket, input: IntakeInput, owner: IntakeOwner) {
    this.#input = input;
    this.#owner = owner;
    this.#share = input.turns.share(this);
    this.#receiver = new WsReceiver(ws, this);
  }

  /** Input of the peer waits, for its turn or because the session has paused it. */
  get isHeld(): boolean {
    return this.#isWaiting;
  }

  /** Pauses or resumes handing on input. */
  stop(isStopped: boolean): void {
    if (this.#isOver || this.#isStopped === isStopped) return;
    this.#isStopped = isStopped;
    if (isStopped) return;
    this.#share.run();
    this.#readOn();
    this.#count();
  }

  /** A message is complete, so the receiver no longer holds it. */
  whole(): void {
    this.#hasMessage = true;
  }

  /**
   * Queues the texts of one frame. Returns false if there is just one and none waits: the caller may
   * handle it at once.
   */
  later(texts: readonly string[]): boolean {
    if (texts.length === 1 && this.#texts.length === 0) return false;
    for (const text of texts) {
      this.#texts.push(text);
      this.#textBytes += Buffer.byteLength(text) + TEXT_BYTES;
    }
    this.#count();
    return true;
  }

  /** Handles the waiting texts, since the peer's close frame has arrived. */
  flush(): void {
    this.#textBytes = 0;
    for (const text of this.#texts.splice(0)) this.#owner.received(text);
  }

  get waitingBytes(): number {
    return this.#view === null ? this.#unfedBytes : this.#end - this.#at;
  }

  step(): boolean {
    if (this.#isStopped) {
      this.#count();
      return false;
    }
    if (this.#texts.length > 0) this.#nextText();
    else if (this.#view !== null) this.#readFrame(this.#view);
    else if (this.#chunks.length > 0) this.#takeUp(this.#chunks[0] as Buffer);
    const isMore = this.#texts.length + this.#chunks.length > 0 || this.#view !== null;
    if (!isMore) this.#count();
    return isMore;
  }

  held(): void {
    this.#count();
  }

  released(): void {
    this.#readOn();
    this.#count();
  }

  starved(): void {
    this.#refuse('rate_limited');
  }

  failed(): void {
    this.#refuse('internal_error');
  }

  /**
   * Handles the little that waits for its turn, such as the answer to a close frame, and releases what is
   * more.
   */
  ended(): void {
    if (this.#unfedBytes + this.#textBytes <= LAST_BYTES) this.#share.finish();
    this.end();
  }

  /** Releases everything and ignores further input. */
  end(): void {
    this.#isOver = true;
    this.#share.end();
    this.#chunks = [];
    this.#texts = [];
    this.#textBytes = 0;
    this.#unfedBytes = 0;
    this.#unfinishedBytes = 0;
    this.#isPaused = false;
    this.#counted = 0;
    this.#input.memory.delete(this);
  }

  /** Called by `IntakeMemory` if all connections together hold too much and this one holds most. */
  relieve(): void {
    this.#refuse('memory_pressure');
  }

  #refuse(reason: Fault): void {
    this.end();
    this.#owner.fault(reason);
  }

  /**
   * Decodes what it can of the first `bytes` bytes of `view`, as far as the turn allows. Returns how
   * many are used up; the caller passes the rest to `take`.
   */
  read(view: DataView, bytes: number): number {
    if (this.#isOver) return bytes;
    const isFirst = this.#texts.length + this.#chunks.length === 0 && !this.#isWaiting;
    if (!isFirst || !this.#receiver.isBetween) return 0;
    this.#view = view;
    this.#at = 0;
    this.#end = bytes;
    this.#share.run();
    this.#view = null;
    return this.#isOver ? bytes : this.#at;
  }

  take(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    this.#chunks.push(chunk);
    this.#unfedBytes += chunk.length;
    this.#share.run();
    if (this.#isWaiting) {
      this.#isPaused ||= this.#keptBytes >= KEPT_BYTES;
      this.#count();
    }
    // Read last: `#count` may have ended this intake, which clears `#isPaused`.
    return !this.#isPaused;
  }

  #nextText(): void {
    const text = this.#texts.shift() as string;
    if (this.#texts.length === 0) this.#textBytes = 0;
    this.#owner.received(text);
  }

  get #isWaiting(): boolean {
    return this.#isStopped || this.#share.isHeld;
  }

  /** Bytes held by chunks not fed yet. */
  get #keptBytes(): number {
    return this.#unfedBytes + this.#chunks.length * OVERHEAD_BYTES;
  }

  #readOn(): void {
    if (this.#isWaiting || !this.#isPaused) return;
    this.#isPaused = false;
    this.#receiver.readOn();
  }

  /** Handles the next frame or piece of `chunk`, the first chunk. */
  #takeUp(chunk: Buffer): void {
    const start = this.#offset;
    if (this.#receiver.isBetween) {
      const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
      const end = frame.read(view, start, chunk.length, this.#input.maxFrameBytes);
      if (end > 0) {
        this.#takenUpTo(end, chunk);
        this.#handOn();
        return;
      }
    }
    const end = Math.min(chunk.length, start + this.#pieceBytes);
    this.#takenUpTo(end, chunk);
    this.#feed(end - start === chunk.length ? chunk : Buffer.from(chunk.subarray(start, end)));
  }

  #takenUpTo(end: number, chunk: Buffer): void {
    this.#unfedBytes -= end - this.#offset;
    this.#offset = end;
    if (end < chunk.length) return;
    this.#chunks.shift();
    this.#offset = 0;
  }

  #readFrame(view: DataView): void {
    const end = frame.read(view, this.#at, this.#end, this.#input.maxFrameBytes);
    // The rest is for `ws`.
    if (end === 0) this.#view = null;
    else {
      this.#at = end;
      if (end === this.#end) this.#view = null;
      this.#handOn();
    }
  }

  /** Hands on the frame just decoded. */
  #handOn(): void {
    if (frame.isPong) this.#owner.pong(frame.text);
    else this.#owner.text(frame.text, frame.bytes);
  }

  #feed(piece: Buffer): void {
    const receiver = this.#receiver;
    const bytes = piece.length + OVERHEAD_BYTES;
    this.#hasMessage = false;
    const started = nowMs();
    receiver.feed(piece);
    if (this.#isOver) return;
    this.#fit(piece.length, nowMs() - started);
    // The receiver has found a fault and reported it.
    if (!receiver.isOpen) this.end();
    else if (receiver.isWhole) this.#unfinishedBytes = 0;
    else {
      this.#unfinishedBytes = this.#hasMessage ? bytes : this.#unfinishedBytes + bytes;
      const { maxFrameBytes } = this.#input;
      if (this.#unfinishedBytes > 2 * maxFrameBytes + SLACK_BYTES) this.#refuse('message_too_big');
    }
  }

  #fit(bytes: number, ms: number): void {
    if (ms > PIECE_MS) this.#pieceBytes = Math.max(LEAST_PIECE_BYTES, this.#pieceBytes / 2);
    else if (bytes === this.#pieceBytes && ms < PIECE_MS / 4) {
      this.#pieceBytes = Math.min(MOST_PIECE_BYTES, this.#pieceBytes * 2);
    }
  }

  #count(): void {
    const kept = this.#isWaiting ? this.#keptBytes : 0;
    const read = this.#isPaused ? READ_BYTES : 0;
    const bytes = this.#unfinishedBytes + this.#textBytes + kept + read;
    if (bytes === this.#counted) return;
    this.#counted = bytes;
    this.#input.memory.set(this, bytes);
  }
}
