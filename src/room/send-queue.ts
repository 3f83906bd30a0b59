/**
 * The messages one member has not had yet, of the namespaces under one policy: a ring of
 * references, bounded by messages and bytes, each counted before it is accepted (V3). Overflow is
 * a returned value: the queue closes nothing and tells nobody.
 *
 * Slots are counted from the queue's birth: `head` is the oldest, `tail` the next free one, and
 * slot n lives at `n & mask`. A message replaced by a newer one of its key leaves a hole; holes
 * are closed when the ring is full, which grows only where they are less than half of it: it never
 * has more than four times the slots of its bound.
 */

import type { QueuePolicy } from '../options/config.js';
import type { Frame, QueueMemory } from './frame.js';

/** What an offer cost. The frame offered is itself in `overflow` when it was not accepted. */
export interface Loss {
  /** The older message of the same key that the offered one has replaced. */
  readonly conflated: Frame | null;
  readonly overflow: readonly Frame[];
}

const FIRST_CAPACITY = 16;
/** A ring larger than this is given back when the queue runs empty. */
const KEPT_CAPACITY = 64;
const SLOT_BYTES = 8;

export class SendQueue {
  readonly policy: QueuePolicy;
  readonly #memory: QueueMemory;
  #slots: (Frame | undefined)[] = [];
  #mask = -1;
  #head = 0;
  #tail = 0;
  #length = 0;
  /** Of `#length`, the announcements of a broker's hole: they take a place but are no messages. */
  #holes = 0;
  #bytes = 0;
  /** Slot by `Frame.key`; only under `latest-by-key`. */
  readonly #slotOfKey: Map<string, number> | null;

  constructor(policy: QueuePolicy, memory: QueueMemory) {
    this.policy = policy;
    this.#memory = memory;
    this.#slotOfKey = policy.policy === 'latest-by-key' ? new Map() : null;
  }

  /** Frames queued: what the bound counts. */
  get length(): number {
    return this.#length;
  }

  /** Messages queued: what the accounting counts (V10). */
  get messages(): number {
    return this.#length - this.#holes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Under half of both bounds: what a member has to reach before it may be healthy again. */
  get isUnderHalf(): boolean {
    return (
      this.#length * 2 <= this.policy.queueMessages && this.#bytes * 2 <= this.policy.queueBytes
    );
  }

  /** Takes the frame, or says what that cost. O(1), amortised. */
  offer(frame: Frame): Loss | null {
    // What would not fit into an empty queue must not cost what is in this one.
    if (frame.bytes.length > this.policy.queueBytes) return { conflated: null, overflow: [frame] };
    const conflated = this.#removeOlder(frame.key);
    if (this.#fits(frame)) {
      this.#push(frame);
      return conflated === null ? null : { conflated, overflow: [] };
    }
    const { policy } = this.policy;
    const overflow: Frame[] = [];
    if (policy === 'drop-newest' || policy === 'disconnect') {
      overflow.push(frame);
    } else {
      while (!this.#fits(frame)) overflow.push(this.take() as Frame);
      this.#push(frame);
    }
    return { conflated, overflow };
  }

  peek(): Frame | undefined {
    this.#skipHoles();
    return this.#length === 0 ? undefined : this.#slots[this.#head & this.#mask];
  }

  take(): Frame | undefined {
    const frame = this.peek();
    if (frame === undefined) return undefined;
    const slot = this.#head;
    this.#head += 1;
    this.#clear(slot, frame);
    return frame;
  }

  /**
   * Removes what is queued of one room, or all of it and the ring; says how many messages that
   * were. O(queue).
   */
  discard(room?: string): number {
    let messages = 0;
    for (let slot = this.#head; slot < this.#tail; slot += 1) {
      const frame = this.#slots[slot & this.#mask];
      if (frame === undefined || (room !== undefined && frame.room !== room)) continue;
      this.#clear(slot, frame);
      if (frame.counted) messages += 1;
    }
    if (room === undefined) this.#resize(0);
    return messages;
  }

  #fits(frame: Frame): boolean {
    return (
      this.#length < this.policy.queueMessages &&
      this.#bytes + frame.bytes.length <= this.policy.queueBytes
    );
  }

  #push(frame: Frame): void {
    if (this.#tail - this.#head === this.#slots.length) this.#makeRoom();
    if (frame.key !== undefined) this.#slotOfKey?.set(frame.key, this.#tail);
    this.#slots[this.#tail & this.#mask] = frame;
    this.#tail += 1;
    this.#length += 1;
    this.#bytes += frame.bytes.length;
    if (!frame.counted) this.#holes += 1;
    this.#memory.hold(frame);
  }

  #removeOlder(key: string | undefined): Frame | null {
    const slot = key === undefined ? undefined : this.#slotOfKey?.get(key);
    if (slot === undefined) return null;
    const older = this.#slots[slot & this.#mask] as Frame;
    this.#clear(slot, older);
    return older;
  }

  #clear(slot: number, frame: Frame): void {
    this.#slots[slot & this.#mask] = undefined;
    this.#length -= 1;
    this.#bytes -= frame.bytes.length;
    if (frame.key !== undefined) this.#slotOfKey?.delete(frame.key);
    if (!frame.counted) this.#holes -= 1;
    this.#memory.release(frame);
    if (this.#length === 0 && this.#slots.length > KEPT_CAPACITY) this.#resize(0);
  }

  #skipHoles(): void {
    while (this.#head < this.#tail && this.#slots[this.#head & this.#mask] === undefined) {
      this.#head += 1;
    }
  }

  /** Closes the holes; doubles the ring where they are less than half of it. */
  #makeRoom(): void {
    const live: Frame[] = [];
    for (let slot = this.#head; slot < this.#tail; slot += 1) {
      const frame = this.#slots[slot & this.#mask];
      if (frame !== undefined) live.push(frame);
    }
    const old = this.#slots.length;
    const capacity = live.length * 2 > old || old === 0 ? Math.max(FIRST_CAPACITY, old * 2) : old;
    this.#resize(capacity);
    this.#tail = live.length;
    for (let slot = 0; slot < live.length; slot += 1) {
      const frame = live[slot] as Frame;
      this.#slots[slot] = frame;
      if (frame.key !== undefined) this.#slotOfKey?.set(frame.key, slot);
    }
  }

  #resize(capacity: number): void {
    this.#memory.add((capacity - this.#slots.length) * SLOT_BYTES);
    this.#slots = new Array(capacity);
    this.#mask = capacity - 1;
    this.#head = 0;
    this.#tail = 0;
  }
}
