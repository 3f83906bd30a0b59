/**
 * What has been read from a WebSocket and is not yet a command: the bytes between the socket and
 * the receiver of `ws`, fed to it in pieces as it is the peer's turn (`turns.ts`). While a peer is
 * held its socket is not read, so that TCP holds it back.
 *
 * V3: counts what is read and not handled, and what the receiver keeps of a message that is not
 * whole, in the bytes they really hold; for one connection (`message_too_big`) and for all together
 * (`memory_pressure`, whoever holds most). A piece is a copy where the read was larger, so that a
 * fragment of a byte does not keep 64 KiB.
 *
 * The receiver and two of its fields are private parts of `ws`; they are tried out at the start.
 *
 * Not here: what a frame is (`ws`), what it means (`websocket.ts`).
 */
import { Duplex, Writable } from 'node:stream';
import { WebSocket } from 'ws';
import type { Share, Turns, Work } from '../turns.js';
import type { Fault } from './transport.js';

/** Most that is fed at once, in bytes: bounds how long one item of a peer's input takes. */
const PIECE_BYTES = 4096;
/** What an object of a piece costs beside its bytes. */
const OVERHEAD_BYTES = 256;
/** What a message that is not whole may hold beside twice its greatest length. */
const SLACK_BYTES = 256 * 1024;
/** A read that may be under way when a socket is told to stop, which Node keeps. */
const READ_BYTES = 64 * 1024;
/** Fragments of one message: what an object of each costs is not in the bytes. */
export const MAX_FRAGMENTS = 1024;
/** Of all connections together, in bytes. */
const TOTAL_BYTES = 128 * 1024 * 1024;

const streamWrite: (this: Writable, chunk: Buffer) => boolean = Writable.prototype.write;
const streamEnd: (this: Writable) => Writable = Writable.prototype.end;

/** What is used of `ws`' private receiver. */
interface Receiver extends Writable {
  /** Bytes written that belong to no frame yet. */
  readonly _bufferedBytes: number;
  /** Bytes announced for the message under way. */
  readonly _totalPayloadLength: number;
}

/** What all connections hold before it is a command. */
export class IntakeMemory {
  readonly #holders = new Map<Intake, number>();
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number = TOTAL_BYTES) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Says that `intake` holds `bytes`; where that is too much in all, whoever holds most has to go. */
  set(intake: Intake, bytes: number): void {
    this.#bytes += bytes - (this.#holders.get(intake) ?? 0);
    if (bytes === 0) this.#holders.delete(intake);
    else this.#holders.set(intake, bytes);
    while (this.#bytes > this.#limit) this.#largest()?.relieve();
  }

  #largest(): Intake | undefined {
    let most = 0;
    let largest: Intake | undefined;
    for (const [intake, bytes] of this.#holders) {
      if (bytes <= most) continue;
      most = bytes;
      largest = intake;
    }
    return largest;
  }
}

/** What a transport gives its intake. */
export interface IntakeOptions {
  readonly turns: Turns;
  readonly memory: IntakeMemory;
  /** Of one message, in bytes. */
  readonly maxFrameBytes: number;
  /** Handles a text of those that came together in one frame. */
  received(text: string): void;
  fault(reason: Fault): void;
}

export class Intake implements Work {
  readonly #receiver: Receiver;
  readonly #options: IntakeOptions;
  readonly #share: Share;
  /** Read and not fed. */
  #chunks: Buffer[] = [];
  /** How much of the first has been fed. */
  #offset = 0;
  #unfedBytes = 0;
  /** Fed since the receiver last kept nothing of it. */
  #unfinishedBytes = 0;
  #hasMessage = false;
  #texts: string[] = [];
  #counted = 0;
  /** What was handed on is not done: nothing more is, until it is. */
  #isStopped = false;
  #isOver = false;

  /** To be made before `ws` has read anything. */
  constructor(ws: WebSocket, options: IntakeOptions) {
    this.#options = options;
    this.#share = options.turns.share(this);
    this.#receiver = receiverOf(ws);
    // What `ws` does with a stream that has enough: it pauses the socket until 'drain'.
    this.#receiver.write = (chunk: Buffer) => this.#take(chunk);
    this.#receiver.end = () => {
      this.end();
      return streamEnd.call(this.#receiver) as Receiver;
    };
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
    for (const text of this.#texts.splice(0)) this.#options.received(text);
  }

  step(): boolean {
    if (this.#isStopped) {
      this.#count();
      return false;
    }
    const text = this.#texts.shift();
    if (text !== undefined) this.#options.received(text);
    else if (this.#chunks.length > 0) this.#feed(this.#piece());
    const isMore = this.#texts.length + this.#chunks.length > 0;
    if (!isMore) this.#count();
    return isMore;
  }

  held(): void {
    this.#count();
  }

  released(): void {
    this.#count();
    this.#readOn();
  }

  starved(): void {
    this.#refuse('rate_limited');
  }

  /** Lets go of everything; what comes from now on is nothing. */
  end(): void {
    this.#isOver = true;
    this.#share.end();
    this.#chunks = [];
    this.#texts = [];
    this.#unfedBytes = 0;
    this.#unfinishedBytes = 0;
    this.#count();
  }

  /** Only for `IntakeMemory`: all connections together hold too much, and this one most. */
  relieve(): void {
    this.#refuse('memory_pressure');
  }

  #refuse(reason: Fault): void {
    this.end();
    this.#options.fault(reason);
  }

  /** In the place of the receiver's `write`. */
  #take(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    this.#chunks.push(chunk);
    this.#unfedBytes += chunk.length;
    this.#share.run();
    return !this.#isWaiting;
  }

  get #isWaiting(): boolean {
    return this.#isStopped || this.#share.isHeld;
  }

  #readOn(): void {
    if (!this.#isWaiting) this.#receiver.emit('drain');
  }

  #piece(): Buffer {
    const chunk = this.#chunks[0] as Buffer;
    const start = this.#offset;
    const end = Math.min(chunk.length, start + PIECE_BYTES);
    this.#offset = end;
    this.#unfedBytes -= end - start;
    if (end === chunk.length) {
      this.#chunks.shift();
      this.#offset = 0;
    }
    return end - start === chunk.length ? chunk : Buffer.from(chunk.subarray(start, end));
  }

  #feed(piece: Buffer): void {
    const receiver = this.#receiver;
    const bytes = piece.length + OVERHEAD_BYTES;
    this.#hasMessage = false;
    streamWrite.call(receiver, piece);
    if (this.#isOver) return;
    // It has found a fault, and said so.
    if (!receiver.writable) this.end();
    else if (isWhole(receiver)) this.#unfinishedBytes = 0;
    else {
      this.#unfinishedBytes = this.#hasMessage ? bytes : this.#unfinishedBytes + bytes;
      const { maxFrameBytes } = this.#options;
      if (this.#unfinishedBytes > 2 * maxFrameBytes + SLACK_BYTES) this.#refuse('message_too_big');
    }
  }

  #count(): void {
    const bytes = this.#unfinishedBytes + (this.#isWaiting ? this.#unfedBytes + READ_BYTES : 0);
    if (bytes === this.#counted) return;
    this.#counted = bytes;
    this.#options.memory.set(this, bytes);
  }
}

/** It keeps nothing but perhaps the head of a frame. */
const isWhole = ({ _bufferedBytes, _totalPayloadLength }: Receiver): boolean =>
  _bufferedBytes === 0 && _totalPayloadLength === 0;

function receiverOf(ws: WebSocket): Receiver {
  return (ws as unknown as { readonly _receiver: Receiver })._receiver;
}

/**
 * Plays a connection on a socket of paper and looks whether each private part does what is said above.
 *
 * @throws Error when one does not
 */
export function checkWs(Class: typeof WebSocket = WebSocket): void {
  const missing: string[] = [];
  const expect = (what: string, holds: boolean) => holds || missing.push(what);
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  try {
    const ws = new (Class as unknown as new (...args: unknown[]) => PaperWebSocket)(null, [], {});
    ws.on('error', () => {});
    ws.setSocket(socket, Buffer.alloc(0), {});
    const receiver = receiverOf(ws);
    const written: Buffer[] = [];
    receiver.write = (chunk: Buffer) => {
      written.push(chunk);
      return false;
    };
    socket.emit('data', HELLO);
    expect('write', written[0] === HELLO && socket.isPaused());
    receiver.emit('drain');
    expect('drain', !socket.isPaused());
    const texts: string[] = [];
    ws.on('message', (data: Buffer) => texts.push(data.toString()));
    const feed = (bytes: Buffer) => streamWrite.call(receiver, Buffer.from(bytes));
    feed(HELLO.subarray(0, 3));
    expect('_bufferedBytes', receiver._bufferedBytes === 1 && !isWhole(receiver));
    feed(HELLO.subarray(3));
    expect('message', texts[0] === 'hi' && isWhole(receiver));
    feed(FRAGMENT);
    expect('_totalPayloadLength', receiver._totalPayloadLength === 1 && !isWhole(receiver));
    feed(Buffer.from([0x0f, 0x80]));
    expect('writable', !receiver.writable);
  } catch (error) {
    missing.push(String(error));
  }
  socket.destroy();
  if (missing.length === 0) return;
  throw new Error(
    `ws is not a release this server is made for (8.23): the receiver's ${missing.join(', ')} is different`,
  );
}

/** `hi` in a masked frame, and `h` as the first fragment of a text. */
const HELLO = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]);
const FRAGMENT = Buffer.from([0x01, 0x81, 0, 0, 0, 0, 0x68]);

interface PaperWebSocket extends WebSocket {
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}
