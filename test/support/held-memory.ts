/** Records what the queue memory was told to hold, and checks the totals (V3). */
import { vi } from 'vitest';
import { Batch, Frame, type Held, QueueMemory } from '../../src/room/frame.js';
import type { Core } from './core.js';

export class HeldMemory {
  readonly #held = new Map<Held, number>();
  readonly #spies: { mockRestore(): void }[] = [];

  constructor() {
    const held = this.#held;
    const { hold, release } = QueueMemory.prototype;
    this.#spies.push(
      vi.spyOn(QueueMemory.prototype, 'hold').mockImplementation(function (
        this: QueueMemory,
        item: Held,
      ) {
        held.set(item, (held.get(item) ?? 0) + 1);
        hold.call(this, item);
      }),
      vi.spyOn(QueueMemory.prototype, 'release').mockImplementation(function (
        this: QueueMemory,
        item: Held,
      ) {
        const holders = (held.get(item) ?? 0) - 1;
        if (holders > 0) held.set(item, holders);
        else held.delete(item);
        release.call(this, item);
      }),
    );
  }

  /** Number of held items. */
  get size(): number {
    return this.#held.size;
  }

  /** Checks that the memory of the queues equals the sum of all held items, each counted once. */
  check({ hub, peers, config }: Core): void {
    const { memory, members } = hub;
    let bytes = 0;
    let holders = 0;
    let messages = 0;
    const batches = new Map<Buffer, Batch>();
    for (const [item, count] of this.#held) {
      if (item.holders !== count) throw new Error('holders do not add up');
      bytes += item.heldBytes;
      if (item instanceof Frame && item.counted) messages += count;
      if (!(item instanceof Batch)) continue;
      batches.set(item.bytes, item);
      holders += count;
      // It keeps its frames, each once.
      messages -= item.messages;
    }
    let outstanding = 0;
    let queued = 0;
    for (const { member, transport } of peers) {
      if (!members.has(member.id)) continue;
      queued += member.queuedMessages;
      if (transport.outstanding === null) continue;
      outstanding += 1;
      const batch = batches.get(transport.outstanding);
      if (batch === undefined) throw new Error('outstanding, and not held');
      queued -= batch.messages;
    }
    if (holders !== outstanding) throw new Error(`${holders} batches held of ${outstanding}`);
    if (messages !== queued) throw new Error(`${messages} messages held of ${queued}`);
    // Besides: control lanes, and the slots of rings.
    const others = memory.bytes - bytes;
    const { controlBytes, queueMessages, namespaces } = config;
    const policies = 1 + Object.keys(namespaces).length;
    const slots = policies * 8 * Math.max(16, 4 * queueMessages);
    if (others < 0 || others > members.size * (controlBytes + slots)) {
      throw new Error(`${memory.bytes} bytes of memory, ${bytes} held`);
    }
  }

  restore(): void {
    for (const spy of this.#spies) spy.mockRestore();
  }
}
