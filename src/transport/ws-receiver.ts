/**
 * Intercepts the receiver of a `ws` connection: input from the socket is offered to a taker first, and
 * reaches the receiver when it is fed.
 *
 * The receiver and four of its fields are private to `ws`; `checkWs` tests them at startup.
 *
 * Not here: when it is fed, and what is buffered until then (`intake.ts`).
 */
import { Duplex, Writable } from 'node:stream';
import { WebSocket } from 'ws';

const streamWrite: (this: Writable, chunk: Buffer) => boolean = Writable.prototype.write;
const streamEnd: (this: Writable) => Writable = Writable.prototype.end;

const TAKER = Symbol('taker');

/** The parts used of `ws`'s private receiver. */
interface Receiver extends Writable {
  [TAKER]: Taker;
  /** Buffered bytes that belong to no frame yet. */
  readonly _bufferedBytes: number;
  /** Bytes announced for the message being received. */
  readonly _totalPayloadLength: number;
  /** 0 between two frames. */
  readonly _state: number;
  /** Opcode of the message being received, 0 between two messages. */
  readonly _fragmented: number;
}

/** Gets the input of the socket. */
export interface Taker {
  /** Returns false to pause reading until `readOn`. */
  take(chunk: Buffer): boolean;
  /** The input has ended. */
  ended(): void;
}

export class WsReceiver {
  readonly #receiver: Receiver;

  /** Must be created before `ws` has read anything. */
  constructor(ws: WebSocket, taker: Taker) {
    const receiver = receiverOf(ws);
    this.#receiver = receiver;
    receiver[TAKER] = taker;
    receiver.write = take;
    receiver.end = end;
  }

  feed(bytes: Buffer): void {
    streamWrite.call(this.#receiver, bytes);
  }

  readOn(): void {
    this.#receiver.emit('drain');
  }

  /** The receiver has found no fault yet. */
  get isOpen(): boolean {
    return this.#receiver.writable;
  }

  /** The receiver holds no payload, at most part of a frame header. */
  get isWhole(): boolean {
    return this.#receiver._bufferedBytes === 0 && this.#receiver._totalPayloadLength === 0;
  }

  /** The next frame begins a message, or is a control frame. */
  get isBetween(): boolean {
    const { _bufferedBytes, _state, _fragmented } = this.#receiver;
    return _bufferedBytes === 0 && _state === 0 && _fragmented === 0;
  }
}

/** A write that returns false makes `ws` pause the socket until 'drain'. */
function take(this: Writable, chunk: Buffer): boolean {
  return (this as Receiver)[TAKER].take(chunk);
}

function end(this: Writable): Receiver {
  (this as Receiver)[TAKER].ended();
  return streamEnd.call(this) as Receiver;
}

function receiverOf(ws: WebSocket): Receiver {
  return (ws as unknown as { readonly _receiver: Receiver })._receiver;
}

/**
 * Runs a connection on a fake socket and checks that each private part behaves as described above.
 *
 * @throws Error if one does not
 */
export function checkWs(Class: typeof WebSocket = WebSocket): void {
  const missing: string[] = [];
  const expect = (what: string, holds: boolean) => holds || missing.push(what);
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  try {
    const ws = new (Class as unknown as new (...args: unknown[]) => PaperWebSocket)(null, [], {});
    ws.on('error', () => {});
    ws.setSocket(socket, Buffer.alloc(0), {});
    const written: Buffer[] = [];
    const receiver = new WsReceiver(ws, {
      take: (chunk) => {
        written.push(chunk);
        return false;
      },
      ended: () => {},
    });
    expect('_state', receiver.isBetween);
    socket.emit('data', HELLO);
    expect('write', written[0] === HELLO && socket.isPaused());
    receiver.readOn();
    expect('drain', !socket.isPaused());
    const texts: string[] = [];
    ws.on('message', (data: Buffer) => texts.push(data.toString()));
    const feed = (bytes: Buffer) => receiver.feed(Buffer.from(bytes));
    feed(HELLO.subarray(0, 2));
    expect('_state', !receiver.isBetween);
    feed(HELLO.subarray(2, 3));
    expect('_bufferedBytes', receiverOf(ws)._bufferedBytes === 1 && !receiver.isWhole);
    feed(HELLO.subarray(3));
    expect('message', texts[0] === 'hi' && receiver.isWhole && receiver.isBetween);
    feed(NOTHING_YET);
    expect('_fragmented', receiver.isWhole && !receiver.isBetween);
    feed(FRAGMENT);
    expect('_totalPayloadLength', receiverOf(ws)._totalPayloadLength === 1 && !receiver.isWhole);
    feed(Buffer.from([0x0f, 0x80]));
    expect('writable', !receiver.isOpen);
  } catch (error) {
    missing.push(String(error));
  }
  socket.destroy();
  if (missing.length === 0) return;
  throw new Error(
    `ws is not a release this server is made for (8.23): the receiver's ${missing.join(', ')} is different`,
  );
}

/** `hi` in a masked frame; an empty first fragment of a text, and `h` as the next. */
const HELLO = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]);
const NOTHING_YET = Buffer.from([0x01, 0x80, 0, 0, 0, 0]);
const FRAGMENT = Buffer.from([0x00, 0x81, 0, 0, 0, 0, 0x68]);

interface PaperWebSocket extends WebSocket {
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}
