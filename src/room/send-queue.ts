/**
 * Messages waiting for one member under one policy: a ring of references, bounded by messages and bytes,
 * each counted before it is accepted (V3). Overflow is a return value: the queue closes nothing and
 * sends nothing.
 *
 * Slot numbers only rise: `head` is the oldest, `tail` the next free one, and slot n lives at `n &
 * mask`. A message replaced by a newer one with its key leaves an empty slot. A full ring is compacted,
 * and grows only if less than half of its slots are empty, so it never has more than four times the
 * slots of its bound.
 */

import type { QueuePolicy } from '../options/config.js';
import type { Frame, QueueMemory } from './frame.js';

/** Frames lost to an offer. The offered frame is itself in `overflow` if it was not accepted. */
export interface Loss {
  /** The older message with the same key that the offered one replaced. */
  readonly conflated: Frame | null;
  readonly overflow: readonly Frame[];
}

const FIRST_CAPACITY = 16;
/** A ring larger than this is freed when the queue runs empty. */
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
  /** Queued frames that are no messages, such as gaps; they count in `#length`. */
  #holes = 0;
  #bytes = 0;
  /** Slot by `Frame.key`; only under `latest-by-key`. */
  readonly #slotOfKey: Map<string, number> | null;

  constructor(policy: QueuePolicy, memory: QueueMemory) {
    this.policy = policy;
    this.#memory = memory;
    this.#slotOfKey = policy.policy === 'latest-by-key' ? new Map() : null;
  }

  /** Frames queued; the bound counts these. */
  get length(): number {
    return this.#length;
  }

  /** Messages queued; the accounting counts these (V10). */
  get messages(): number {
    return this.#length - this.#holes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Under half of both bounds, as required before the member may become healthy again. */
  get isUnderHalf(): boolean {
    return (
      this.#length * 2 <= this.policy.queueMessages && this.#bytes * 2 <= this.policy.queueBytes
    );
  }

  /** Queues the frame. Returns the frames lost by that, or null. O(1), amortised. */
  offer(frame: Frame): Loss | null {
    // A frame that would not fit even into an empty queue must not displace others.
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

  /** Removes the frames of one room, or all and the ring. Returns the messages removed. O(queue). */
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

  /** Compacts the ring; doubles it if less than half of its slots are empty. */
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
