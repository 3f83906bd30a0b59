/**
 * Encoded messages, and the batches that join them for a write. Both are shared by all members that get
 * them (V6). Both count their holders, so the memory held by the queues is known to the byte (V3)
 * although a thousand stalled members may hold the same message.
 */

/** Cost of an object besides its bytes: fields, buffer header, backing store. Measured: 150–200. */
const OVERHEAD_BYTES = 200;

/** An object that queues hold by reference. Only `QueueMemory` modifies `holders`. */
export interface Held {
  holders: number;
  /** Its own bytes, without those of `keeps`. */
  readonly heldBytes: number;
  /** Objects held as long as this one is. */
  readonly keeps: readonly Held[];
}

const NOTHING: readonly Held[] = [];

/** Bytes held by all queues of a server, each frame and batch counted once. */
export class QueueMemory {
  readonly limit: number;
  readonly #onPressure: () => void;
  #bytes = 0;

  /** `onPressure` is called at every addition beyond `limit` bytes. It must not evict synchronously. */
  constructor(limit: number, onPressure: () => void) {
    this.limit = limit;
    this.#onPressure = onPressure;
  }

  get bytes(): number {
    return this.#bytes;
  }

  hold(item: Held): void {
    item.holders += 1;
    if (item.holders > 1) return;
    this.add(item.heldBytes);
    for (const kept of item.keeps) this.hold(kept);
  }

  release(item: Held): void {
    item.holders -= 1;
    if (item.holders > 0) return;
    this.#bytes -= item.heldBytes;
    for (const kept of item.keeps) this.release(kept);
  }

  /** Adds memory held besides frames: ring slots, control frames. May be negative. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.limit) this.#onPressure();
  }
}

/**
 * One message in one encoding. If `counted` is false it is no message but takes a message's place in the
 * order of the room: it announces a gap or reset, or stands in for a message its member must not be
 * sent.
 */
export class Frame implements Held {
  holders = 0;
  readonly keeps = NOTHING;
  readonly heldBytes: number;

  constructor(
    readonly room: string,
    readonly seq: number,
    readonly last: number,
    readonly counted: boolean,
    /** Key for `latest-by-key`: equal for two messages of the same room and key. */
    readonly key: string | undefined,
    /** `nowMs()` when the publish was accepted. */
    readonly acceptedAt: number,
    readonly bytes: Buffer,
  ) {
    this.heldBytes = bytes.length + OVERHEAD_BYTES;
  }
}

/** Frames joined for one write. */
export class Batch implements Held {
  holders = 0;
  readonly heldBytes: number;
  /** Members whose kernel took it whole at once, by health; the room counts them once a slice. */
  toHealthy = 0;
  toSlow = 0;

  constructor(
    /**
     * The frames of room messages in `bytes`; control frames and gaps of the member are not included.
     */
    readonly frames: readonly Frame[],
    /** Number of frames that count as messages. */
    readonly messages: number,
    readonly bytes: Buffer,
    /** Number of replayed messages in `bytes`. They are not part of the delivery counts. */
    readonly replayed = 0,
  ) {
    // A single frame is written without a copy.
    const own = frames.length === 1 && frames[0]?.bytes === bytes ? 0 : bytes.length;
    this.heldBytes = own + OVERHEAD_BYTES;
  }

  get keeps(): readonly Frame[] {
    return this.frames;
  }
}

export const countMessages = (frames: readonly Frame[]): number => {
  let messages = 0;
  for (const frame of frames) if (frame.counted) messages += 1;
  return messages;
};
