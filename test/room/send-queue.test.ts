import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { QueuePolicy } from '../../src/options/config.js';
import { Frame, QueueMemory } from '../../src/room/frame.js';
import { SendQueue } from '../../src/room/send-queue.js';

const POLICIES = ['drop-oldest', 'drop-newest', 'latest-by-key', 'disconnect'] as const;

const policyOf = (
  policy: QueuePolicy['policy'],
  queueMessages: number,
  queueBytes = 1 << 20,
): QueuePolicy => ({
  policy,
  queueMessages,
  queueBytes,
  disconnectGraceMs: 5000,
  lagAfterMs: 250,
  recoverAfterMs: 1000,
  stallAfterMs: 30_000,
});

const memoryOf = () => new QueueMemory(Number.MAX_SAFE_INTEGER, () => {});

interface Made {
  room?: string;
  bytes?: number;
  key?: string | undefined;
  counted?: boolean;
}

let seq = 0;
function frame({ room = 'a', bytes = 10, key, counted = true }: Made = {}): Frame {
  seq += 1;
  return new Frame(room, seq, seq, counted, key, 0, Buffer.alloc(bytes));
}

const seqs = (frames: readonly Frame[]) => frames.map((each) => each.seq);

/** The reference model: an array of frames, oldest first. */
class Naive {
  frames: Frame[] = [];

  constructor(readonly policy: QueuePolicy) {}

  get length(): number {
    return this.frames.length;
  }

  get bytes(): number {
    return this.frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  offer(offered: Frame): { conflated: Frame | null; overflow: Frame[] } {
    const { policy, queueBytes } = this.policy;
    if (offered.bytes.length > queueBytes) return { conflated: null, overflow: [offered] };
    let conflated: Frame | null = null;
    if (policy === 'latest-by-key' && offered.key !== undefined) {
      conflated = this.frames.find(({ key }) => key === offered.key) ?? null;
      this.frames = this.frames.filter((each) => each !== conflated);
    }
    const overflow: Frame[] = [];
    if (!this.#fits(offered) && ['drop-newest', 'disconnect'].includes(policy)) {
      return { conflated, overflow: [offered] };
    }
    while (!this.#fits(offered)) overflow.push(this.frames.shift()!);
    this.frames.push(offered);
    return { conflated, overflow };
  }

  discard(room?: string): number {
    const gone = this.frames.filter((each) => room === undefined || each.room === room);
    this.frames = this.frames.filter((each) => !gone.includes(each));
    return gone.filter(({ counted }) => counted).length;
  }

  #fits({ bytes }: Frame): boolean {
    const { queueMessages, queueBytes } = this.policy;
    return this.frames.length < queueMessages && this.bytes + bytes.length <= queueBytes;
  }
}

const made = fc.record({
  room: fc.constantFrom('a', 'b'),
  bytes: fc.integer({ min: 1, max: 70 }),
  key: fc.option(fc.constantFrom('k', 'l', 'm'), { nil: undefined }),
  counted: fc.boolean(),
});

type Step = { offer: Made } | { take: number } | { discard: string | undefined };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ offer: made }) },
  { weight: 2, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ discard: fc.constantFrom('a', 'b', undefined) }) },
);

describe('SendQueue', () => {
  it('behaves like an array, within its bounds at every step (V3)', () => {
    const bounds = fc.record({
      policy: fc.constantFrom(...POLICIES),
      messages: fc.integer({ min: 1, max: 40 }),
      bytes: fc.integer({ min: 50, max: 600 }),
    });
    fc.assert(
      fc.property(
        bounds,
        fc.array(step, { maxLength: 300, size: 'max' }),
        ({ policy, messages, bytes }, steps) => {
          const settings = policyOf(policy, messages, bytes);
          const memory = memoryOf();
          const queue = new SendQueue(settings, memory);
          const naive = new Naive(settings);
          for (const each of steps) {
            if ('offer' in each) {
              const offered = frame(each.offer);
              const { conflated = null, overflow = [] } = queue.offer(offered) ?? {};
              const expected = naive.offer(offered);
              expect(conflated).toBe(expected.conflated);
              expect(seqs(overflow)).toEqual(seqs(expected.overflow));
            } else if ('take' in each) {
              for (let n = 0; n < each.take; n += 1) {
                expect(queue.peek()).toBe(naive.frames[0]);
                expect(queue.take()).toBe(naive.frames.shift());
                if (naive.length === 0) break;
              }
            } else {
              expect(queue.discard(each.discard)).toBe(naive.discard(each.discard));
            }
            const { length, bytes: queued } = naive;
            expect([queue.length, queue.messages, queue.bytes, queue.isUnderHalf]).toEqual([
              length,
              naive.frames.filter(({ counted }) => counted).length,
              queued,
              length * 2 <= messages && queued * 2 <= bytes,
            ]);
            expect(length <= messages && queued <= bytes).toBe(true);
            // The frames, and slots for at most four times the bound.
            const held = naive.frames.reduce((sum, { heldBytes }) => sum + heldBytes, 0);
            const slots = (memory.bytes - held) / 8;
            expect(slots >= length && slots <= Math.max(16, 4 * messages)).toBe(true);
          }
          queue.discard();
          expect(memory.bytes).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('keeps its ring as it is while it overflows', () => {
    const memory = memoryOf();
    const queue = new SendQueue(policyOf('drop-oldest', 64), memory);
    const slots = () => memory.bytes - queue.length * frame().heldBytes;
    for (let n = 0; n < 64; n += 1) queue.offer(frame());
    expect(slots()).toBe(64 * 8);
    for (let n = 0; n < 1000; n += 1) {
      expect(queue.offer(frame())?.overflow).toHaveLength(1);
      expect(slots()).toBe(64 * 8);
    }
  });

  it('frees the ring when a long queue runs empty', () => {
    const memory = memoryOf();
    const queue = new SendQueue(policyOf('drop-oldest', 1000), memory);
    for (let n = 0; n < 1000; n += 1) queue.offer(frame());
    while (queue.take() !== undefined);
    expect(memory.bytes).toBe(0);
    expect(queue.offer(frame())).toBeNull();
    expect(queue.length).toBe(1);
  });

  it('drops a message that can never fit, not what is queued', () => {
    for (const policy of POLICIES) {
      const queue = new SendQueue(policyOf(policy, 10, 100), memoryOf());
      const first = frame({ key: 'k' });
      queue.offer(first);
      const huge = frame({ bytes: 101, key: 'l' });
      expect(queue.offer(huge)).toEqual({ conflated: null, overflow: [huge] });
      expect(queue.peek()).toBe(first);
    }
  });
});
