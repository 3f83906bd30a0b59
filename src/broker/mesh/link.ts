/**
 * One end of a connection between two workers: frames of a turn of the loop leave in one write, and what
 * comes is cut into frames. What waits to be sent is counted in frames and bytes, so that who sends can
 * keep within a bound (V3, V23).
 *
 * Not here: what frames mean (`host.ts`, `visit.ts`), how a connection is made (`mesh.ts`, `visit.ts`).
 */
import type { Socket } from 'node:net';
import { survived } from '../../survived.js';
import { setImmediate } from '../../time.js';
import { FrameReader, FrameWriter, HEAD, KIND, VERSION } from './frames.js';

/** What may wait for a worker that does not read. */
export const MAX_BYTES = 8 * 1_048_576;
const MAX_FRAMES = 65_536;
/** Of one frame: a message of the largest size that may be configured, in escapes of nobody. */
const MAX_FRAME = 64 * 1_048_576;

export interface LinkEvents {
  /** One frame; the reader is good until the call returns. */
  frame(kind: number, reader: FrameReader): void;
  /** What waits is under half of the bound again. */
  drained(): void;
  /** Nothing is sent or comes any more; once. */
  ended(): void;
}

export class Link {
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  readonly #writer = new FrameWriter();
  readonly #reader = new FrameReader();
  /** The beginning of a frame that is not whole, how long it is, and how long the frame. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #wholeBytes = HEAD;
  #isScheduled = false;
  #hasEnded = false;
  /** Frames that are not in the hands of the system. */
  #frames = 0;
  #fresh = 0;
  #isFull = false;

  constructor(socket: Socket, events: LinkEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on(
      'data',
      survived((chunk: Buffer) => this.#read(chunk)),
    );
    // The close that follows says it.
    socket.on('error', () => {});
    socket.on(
      'close',
      survived(() => this.#end()),
    );
  }

  /** More waits than may: what is told next has to be let go of, and announced. */
  get isFull(): boolean {
    if (!this.#isFull) this.#isFull = this.bytes > MAX_BYTES || this.frames > MAX_FRAMES;
    return this.#isFull;
  }

  get bytes(): number {
    return this.#writer.bytes + this.#socket.writableLength;
  }

  get frames(): number {
    return this.#frames + this.#fresh;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** To be ended with `end()` before the next. It leaves with this turn of the loop. */
  begin(kind: number): FrameWriter {
    this.#fresh += 1;
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.flush());
    }
    return this.#writer.begin(kind);
  }

  flush(): void {
    this.#isScheduled = false;
    if (this.#hasEnded || this.#writer.bytes === 0) return;
    const frames = this.#fresh;
    this.#frames += frames;
    this.#fresh = 0;
    this.#socket.write(
      this.#writer.take(),
      survived(() => this.#written(frames)),
    );
  }

  /** What waits goes out first. */
  end(): void {
    this.flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
    this.#end();
  }

  #written(frames: number): void {
    this.#frames -= frames;
    if (!this.#isFull || this.bytes * 2 > MAX_BYTES || this.frames * 2 > MAX_FRAMES) return;
    this.#isFull = false;
    this.#events.drained();
  }

  #read(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#restBytes > 0) {
      this.#rest.push(chunk);
      this.#restBytes += chunk.length;
      if (this.#restBytes < this.#wholeBytes) return;
      bytes = Buffer.concat(this.#rest);
      this.#rest = [];
      this.#restBytes = 0;
    }
    let at = 0;
    this.#wholeBytes = HEAD;
    while (bytes.length - at >= HEAD) {
      const length = bytes.readUInt32BE(at);
      if (length > MAX_FRAME) {
        this.destroy();
        return;
      }
      const end = at + HEAD + length;
      if (end > bytes.length) {
        this.#wholeBytes = end - at;
        break;
      }
      const kind = this.#reader.begin(bytes, at + HEAD, end);
      if (kind === KIND.hello && this.#reader.u32() !== VERSION) {
        this.destroy();
        return;
      }
      if (kind !== KIND.hello) this.#frame(kind);
      if (this.#hasEnded) return;
      at = end;
    }
    if (at === bytes.length) return;
    this.#rest.push(bytes.subarray(at));
    this.#restBytes = bytes.length - at;
  }

  /** With a frame that was not taken, all behind it is lost: a new link says what that was (V21). */
  #frame(kind: number): void {
    try {
      this.#events.frame(kind, this.#reader);
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#rest = [];
    this.#events.ended();
  }
}
