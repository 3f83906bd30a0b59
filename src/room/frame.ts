/**
 * Encoded messages and the batches they travel in. Both are shared by every member that gets them
 * (V6), and both count who holds them, so that the memory the queues really hold is known to the
 * byte (V3) although a thousand stalled members may hold the same message.
 */

/** What an object of ours costs beside its bytes: fields, buffer header, backing store. Measured: 150–200. */
const OVERHEAD_BYTES = 200;

/** Something queues hold by reference. Only `QueueMemory` touches `holders`. */
export interface Held {
  holders: number;
  /** Without what it keeps. */
  readonly heldBytes: number;
  /** What is held as long as this is. */
  readonly keeps: readonly Held[];
}

const NOTHING: readonly Held[] = [];

/** The bytes all queues of a server hold, each frame and batch counted once. */
export class QueueMemory {
  readonly limit: number;
  readonly #onPressure: () => void;
  #bytes = 0;

  /** `onPressure` is called whenever something is taken in beyond `limit` bytes; it must not evict then and there. */
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

  /** What a queue holds beside frames: its slots, its control frames. May be negative. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.limit) this.#onPressure();
  }
}

/**
 * One message in one encoding; or, where `counted` is false, the announcement of a hole the broker
 * left from `seq` to `last`, which takes a message's place in the order of its room.
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
    /** What `latest-by-key` keeps the latest of: the same for two messages of one room and key. */
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
  /** Members that have had all of it in one go, by whether they were healthy: counted a slice at a time. */
  toHealthy = 0;
  toSlow = 0;

  constructor(
    /** The frames in `bytes` that are messages of a room; replies and gaps are not among them. */
    readonly frames: readonly Frame[],
    /** How many of the frames count as messages. */
    readonly messages: number,
    readonly bytes: Buffer,
    /** How many messages it has beside those, which count nowhere: members that come back read them again. */
    readonly replayed = 0,
  ) {
    // A frame by itself is written as it is.
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
