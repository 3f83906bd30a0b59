/**
 * What has been read from a WebSocket and is not yet a command: the bytes between the socket and
 * the receiver of `ws`, fed to it in pieces as it is the peer's turn (`turns.ts`). What clients send most,
 * a text in a frame of its own and a pong, is read where it lies instead, in the same turns, a frame an
 * item. The socket of a peer that is held and has more than a little here is not read, so that TCP holds
 * it back.
 *
 * V3: counts what is read and not handled, and what the receiver keeps of a message that is not
 * whole, in the bytes they really hold; for one connection (`message_too_big`) and for all together
 * (`memory_pressure`, whoever holds most). A piece is a copy where the read was larger, so that a
 * fragment of a byte does not keep 64 KiB.
 *
 * Not here: what a frame is (`client-frame.ts`, `ws`), what it means (`websocket.ts`), what all
 * connections may hold (`intake-memory.ts`).
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
 * What is fed at once, in bytes: it bounds how long one item of a peer's input takes. A piece may be
 * one large message or a hundred commands, so a piece that took longer than `PIECE_MS` halves the
 * next ones, and one that took less than a quarter of that doubles them.
 */
const LEAST_PIECE_BYTES = 512;
const MOST_PIECE_BYTES = 8192;
const PIECE_MS = 0.5;
/** What an object of a piece costs beside its bytes. */
const OVERHEAD_BYTES = 256;
/**
 * What a peer that waits may have here, in bytes, before its socket is told to stop. A socket that is
 * not told so keeps nothing of its own, so what is counted of those that have said little is what they
 * hold: after a stand-still of the server that is everybody at once.
 */
const KEPT_BYTES = 16 * 1024;
/** What a message that is not whole may hold beside twice its greatest length. */
const SLACK_BYTES = 256 * 1024;
/** A read that may be under way when a socket is told to stop, which Node keeps. */
const READ_BYTES = 64 * 1024;
/** Fragments of one message: what an object of each costs is not in the bytes. */
export const MAX_FRAGMENTS = 1024;

/** What the connections of a server share in what they receive. */
export interface IntakeInput {
  readonly turns: Turns;
  readonly memory: IntakeMemory;
  /** Of one frame, in bytes, with what a dialect wraps around a text. */
  readonly maxFrameBytes: number;
}

/** The transport whose intake it is. */
export interface IntakeOwner {
  /** A text in a frame of its own, and its length in bytes. */
  text(text: string, bytes: number): void;
  /** The payload of a pong, a character a byte. */
  pong(payload: string): void;
  /** Handles a text of those that came together in one frame. */
  received(text: string): void;
  fault(reason: Fault): void;
}

/** What is being read in one call: nothing else is, meanwhile. */
const frame = new ClientFrame();

export class Intake implements Work, Reader, Taker, Holder {
  readonly #receiver: WsReceiver;
  readonly #input: IntakeInput;
  readonly #owner: IntakeOwner;
  readonly #share: Share;
  /** Read and not fed. */
  #chunks: Buffer[] = [];
  /** How much of the first has been fed. */
  #offset = 0;
  #unfedBytes = 0;
  #pieceBytes = LEAST_PIECE_BYTES;
  /** Fed since the receiver last kept nothing of it. */
  #unfinishedBytes = 0;
  #hasMessage = false;
  #texts: string[] = [];
  /** Read, not copied, and gone when `read` returns; null while there is none, or none more is used. */
  #view: DataView | null = null;
  /** Where in that the next frame begins, and where it ends. */
  #at = 0;
  #end = 0;
  #counted = 0;
  /** What was handed on is not done: nothing more is, until it is. */
  #isStopped = false;
  /** The socket was told to stop. */
  #isPaused = false;
  #isOver = false;

  /** To be made before `ws` has read anything. */
  constructor(ws: WebSocket, input: IntakeInput, owner: IntakeOwner) {
    this.#input = input;
    this.#owner = owner;
    this.#share = input.turns.share(this);
    this.#receiver = new WsReceiver(ws, this);
  }

  /** Input of the peer is waiting, for its turn or for what came before it. */
  get isHeld(): boolean {
    return this.#isWaiting;
  }

  /** Keeps what there is, or hands it on again. */
  stop(isStopped: boolean): void {
    if (this.#isOver || this.#isStopped === isStopped) return;
    this.#isStopped = isStopped;
    if (isStopped) return;
    this.#share.run();
    this.#readOn();
  }

  /** A message has become whole: what the receiver had of it is not kept any more. */
  whole(): void {
    this.#hasMessage = true;
  }

  /**
   * Puts texts that came in one frame behind those that wait. False when that frame is the first
   * and has just one: it may be handled at once.
   */
  later(texts: readonly string[]): boolean {
    if (texts.length === 1 && this.#texts.length === 0) return false;
    for (const text of texts) this.#texts.push(text);
    return true;
  }

  /** Handles the texts that wait, since the peer has said that nothing more comes. */
  flush(): void {
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
    if (this.#texts.length > 0) this.#owner.received(this.#texts.shift() as string);
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

  /** Lets go of everything; what comes from now on is nothing. */
  end(): void {
    this.#isOver = true;
    this.#share.end();
    this.#chunks = [];
    this.#texts = [];
    this.#unfedBytes = 0;
    this.#unfinishedBytes = 0;
    this.#isPaused = false;
    this.#counted = 0;
    this.#input.memory.delete(this);
  }

  /** Only for `IntakeMemory`: all connections together hold too much, and this one most. */
  relieve(): void {
    this.#refuse('memory_pressure');
  }

  #refuse(reason: Fault): void {
    this.end();
    this.#owner.fault(reason);
  }

  /**
   * Handles what it can of the bytes at the beginning of `view`, as far as the turn allows. Returns how
   * much of it has been used up; the rest is to be taken.
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
    // It may have been too much.
    return !this.#isPaused;
  }

  get #isWaiting(): boolean {
    return this.#isStopped || this.#share.isHeld;
  }

  /** Of what is read and not fed. */
  get #keptBytes(): number {
    return this.#unfedBytes + this.#chunks.length * OVERHEAD_BYTES;
  }

  #readOn(): void {
    if (this.#isWaiting || !this.#isPaused) return;
    this.#isPaused = false;
    this.#receiver.readOn();
  }

  /** `chunk`: the first. */
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

  /** What `frame` has read. */
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
    // It has found a fault, and said so.
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
    const bytes = this.#unfinishedBytes + kept + (this.#isPaused ? READ_BYTES : 0);
    if (bytes === this.#counted) return;
    this.#counted = bytes;
    this.#input.memory.set(this, bytes);
  }
}
