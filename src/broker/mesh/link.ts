/**
 * One end of a connection between two workers. Frames of one turn of the loop go out in one write, and
 * incoming bytes are split into frames. Frames and bytes to be sent are counted, so that senders can
 * keep within a bound (V3, V23).
 *
 * Not here: the meaning of frames (`host.ts`, `visit.ts`), opening connections (`mesh.ts`, `visit.ts`).
 */
import type { Socket } from 'node:net';
import { survived } from '../../survived.js';
import { setImmediate } from '../../time.js';
import { FrameReader, FrameWriter, HEAD, KIND, VERSION } from './frames.js';

/** Most bytes queued for a worker that does not read. */
export const MAX_BYTES = 8 * 1_048_576;
const MAX_FRAMES = 65_536;
/** Most bytes of one frame: fits an unescaped message of the largest configurable size. */
const MAX_FRAME = 64 * 1_048_576;

export interface LinkEvents {
  /** A frame arrived. The reader is valid until the call returns. */
  frame(kind: number, reader: FrameReader): void;
  /** The queue is below half of its bounds again. */
  drained(): void;
  /** The connection has ended; called once. */
  ended(): void;
}

export class Link {
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  readonly #writer = new FrameWriter();
  readonly #reader = new FrameReader();
  /** An incomplete frame: its bytes so far, their count, and the length of the whole frame. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #wholeBytes = HEAD;
  #isScheduled = false;
  #hasEnded = false;
  /** Frames written to the socket but not yet to the kernel. */
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
    // The `close` event follows and is handled.
    socket.on('error', () => {});
    socket.on(
      'close',
      survived(() => this.#end()),
    );
  }

  /** True while the queue is over its bounds: further messages must be dropped and announced. */
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

  /**
   * Begins a frame, which the caller must finish with `end()` before the next one. It is sent at the
   * end of this turn of the loop.
   */
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

  /** Flushes the queue, then closes. */
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

  /**
   * If handling a frame fails, all frames after it are lost; the next link reports what they were
   * (V21).
   */
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
