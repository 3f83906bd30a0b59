/**
 * Monitors the members that are behind: checks their health a few times a second, and evicts members
 * when all queues together hold too much.
 *
 * V3: past `queueBytesTotal` the longest stalled members are evicted until the rest fits. V13: no member
 * is judged while the server itself was not running.
 *
 * Not here: how a member is judged (`member.ts`), carrying out an eviction (`fan-out.ts`).
 */
import type { CloseReason } from '../errors.js';
import type { LoopClock } from '../loop-clock.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';
import { QueueMemory } from './frame.js';
import type { Member } from './member.js';

/** Interval between checks, in milliseconds: a fifth of the default `lagAfterMs`. */
const CHECK_MS = 50;

interface BehindContext {
  readonly clock: LoopClock;
  /** Maximum bytes of all queues. */
  readonly queueBytesTotal: number;
  /** Schedules an eviction outside all loops over members. */
  evictLater(member: Member, reason: CloseReason): void;
  /** Evicts a member synchronously. */
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
    const { clock, evictLater } = this.#context;
    // After a stall of the server no peer could be heard; the next check is soon.
    if (!clock.mayJudge) return;
    const now = nowMs();
    for (const member of this.members) {
      const verdict = member.check(now);
      if (verdict !== null) evictLater(member, verdict);
    }
  }

  /** Evicts the longest stalled members until the queues are within their limit. */
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
