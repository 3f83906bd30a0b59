/**
 * The receiver of a connection of `ws`, with a hand between it and its socket: what the socket has read
 * is offered here first, and goes on to the receiver when it is fed.
 *
 * The receiver and four of its fields are private parts of `ws`; they are tried out at the start.
 *
 * Not here: when it is fed, and what is kept meanwhile (`intake.ts`).
 */
import { Duplex, Writable } from 'node:stream';
import { WebSocket } from 'ws';

const streamWrite: (this: Writable, chunk: Buffer) => boolean = Writable.prototype.write;
const streamEnd: (this: Writable) => Writable = Writable.prototype.end;

const TAKER = Symbol('taker');

/** What is used of `ws`' private receiver. */
interface Receiver extends Writable {
  [TAKER]: Taker;
  /** Bytes written that belong to no frame yet. */
  readonly _bufferedBytes: number;
  /** Bytes announced for the message under way. */
  readonly _totalPayloadLength: number;
  /** 0 between two frames. */
  readonly _state: number;
  /** Kind of the message under way, 0 between two messages. */
  readonly _fragmented: number;
}

/** Who has what the socket reads. */
export interface Taker {
  /** False: nothing more is read until `readOn`. */
  take(chunk: Buffer): boolean;
  /** Nothing more comes. */
  end(): void;
}

export class WsReceiver {
  readonly #receiver: Receiver;

  /** To be made before `ws` has read anything. */
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

  /** It has found no fault yet. */
  get isOpen(): boolean {
    return this.#receiver.writable;
  }

  /** It keeps nothing but perhaps the head of a frame. */
  get isWhole(): boolean {
    return this.#receiver._bufferedBytes === 0 && this.#receiver._totalPayloadLength === 0;
  }

  /** What comes next is the first frame of a message, or one of control. */
  get isBetween(): boolean {
    const { _bufferedBytes, _state, _fragmented } = this.#receiver;
    return _bufferedBytes === 0 && _state === 0 && _fragmented === 0;
  }
}

/** What `ws` does with a stream that has enough: it pauses the socket until 'drain'. */
function take(this: Writable, chunk: Buffer): boolean {
  return (this as Receiver)[TAKER].take(chunk);
}

function end(this: Writable): Receiver {
  (this as Receiver)[TAKER].end();
  return streamEnd.call(this) as Receiver;
}

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
    const written: Buffer[] = [];
    const receiver = new WsReceiver(ws, {
      take: (chunk) => {
        written.push(chunk);
        return false;
      },
      end: () => {},
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
