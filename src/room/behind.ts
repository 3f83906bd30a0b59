/**
 * The watch over members that are behind: how each stands, a few times a second, and who goes when all
 * queues together hold too much.
 *
 * V3: past `queueBytesTotal` the longest stalled are evicted until the others fit. V13: nobody is judged
 * for a time in which the server itself stood still.
 *
 * Not here: what a member is judged by (`member.ts`), carrying an eviction out (`fan-out.ts`).
 */
import type { CloseReason } from '../errors.js';
import type { LoopClock } from '../loop-clock.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';
import { QueueMemory } from './frame.js';
import type { Member } from './member.js';

/** How often members that are behind are looked at, in milliseconds: a fifth of the default lag. */
const CHECK_MS = 50;

interface BehindContext {
  readonly clock: LoopClock;
  /** Bytes that all queues may hold. */
  readonly queueBytesTotal: number;
  /** Has a member evicted outside all loops over members. */
  doom(member: Member, reason: CloseReason): void;
  /** Evicts one here and now. */
  evict(member: Member, reason: CloseReason): void;
}

export class Behind {
  /** Members with anything outstanding or queued, or not yet healthy again. */
  readonly members = new Set<Member>();
  readonly memory: QueueMemory;
  readonly #context: BehindContext;
  readonly #check: NodeJS.Timeout;
  #isRelieving = false;

  constructor(context: BehindContext) {
    this.#context = context;
    this.memory = new QueueMemory(context.queueBytesTotal, () => this.#relieve());
    this.#check = setInterval(() => this.#look(), CHECK_MS).unref();
  }

  close(): void {
    clearInterval(this.#check);
  }

  #look(): void {
    const { clock, doom } = this.#context;
    // In a stand-still of ours nobody could be heard; the next look is soon.
    if (!clock.mayJudge) return;
    const now = nowMs();
    for (const member of this.members) {
      const verdict = member.check(now);
      if (verdict !== null) doom(member, verdict);
    }
  }

  /** Evicts the longest stalled until the queues are within their limit again. */
  #relieve(): void {
    if (this.#isRelieving) return;
    this.#isRelieving = true;
    setImmediate(() => {
      this.#isRelieving = false;
      const stalled = Array.from(this.members, (member) => ({
        member,
        ms: member.outbox.stalledMs,
      }));
      stalled.sort((a, b) => b.ms - a.ms);
      for (const { member } of stalled) {
        if (this.memory.bytes <= this.memory.limit) return;
        this.#context.evict(member, 'memory_pressure');
      }
    });
  }
}
