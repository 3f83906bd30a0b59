/**
 * The send queues of one member: one per policy it has fallen behind under, usually none or one (V3).
 *
 * Not here: what happens to a message dropped by a queue (`outbox.ts`).
 */
import type { QueuePolicy } from '../options/config.js';
import type { Frame, QueueMemory } from './frame.js';
import { type Loss, SendQueue } from './send-queue.js';

export class Queues {
  readonly #memory: QueueMemory;
  readonly #all: SendQueue[] = [];
  /** Frames in all queues. */
  #length = 0;

  constructor(memory: QueueMemory) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#length;
  }

  /** Messages queued; the accounting counts these (V10). */
  get messages(): number {
    let messages = 0;
    for (const queue of this.#all) messages += queue.messages;
    return messages;
  }

  get bytes(): number {
    let bytes = 0;
    for (const queue of this.#all) bytes += queue.bytes;
    return bytes;
  }

  /** The queues filled over half of one of their bounds. */
  *full(): Generator<SendQueue> {
    for (const queue of this.#all) if (!queue.isUnderHalf) yield queue;
  }

  offer(policy: QueuePolicy, frame: Frame): Loss | null {
    const queue = this.#queueFor(policy);
    const before = queue.length;
    const loss = queue.offer(frame);
    this.#length += queue.length - before;
    return loss;
  }

  /** The queue whose head has waited longest: a flood in one namespace does not delay another. */
  longestWaiting(): SendQueue | undefined {
    if (this.#length === 0) return undefined;
    let oldest: SendQueue | undefined;
    let acceptedAt = Number.POSITIVE_INFINITY;
    for (const queue of this.#all) {
      const head = queue.peek();
      if (head === undefined || head.acceptedAt >= acceptedAt) continue;
      oldest = queue;
      acceptedAt = head.acceptedAt;
    }
    return oldest;
  }

  takeFrom(queue: SendQueue): void {
    queue.take();
    this.#length -= 1;
  }

  /** Removes the frames of one room, or all frames. Returns the number of messages removed. */
  discard(room?: string): number {
    let messages = 0;
    this.#length = 0;
    for (const queue of this.#all) {
      messages += queue.discard(room);
      this.#length += queue.length;
    }
    return messages;
  }

  #queueFor(policy: QueuePolicy): SendQueue {
    for (const queue of this.#all) if (queue.policy === policy) return queue;
    const queue = new SendQueue(policy, this.#memory);
    this.#all.push(queue);
    return queue;
  }
}
