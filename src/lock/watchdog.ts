/**
 * Owns: the one timer of a detector. It finds holds and waits that last too long, not counting the time
 * in which the event loop was blocked, and stops when nothing is held or waited for.
 * Keeps V8: the timer is unref'd and ends with the last hold and wait.
 */

import { clearInterval, nowMs, setInterval } from '../time.js';
import { blame } from './graph.js';
import { type Incident, type Incidents, MOST } from './incidents.js';
import type { List } from './list.js';
import type { Hold, LockNode, Resource, Wait } from './nodes.js';
import type { ReportKind } from './types.js';
import { type Head, longHoldWords, type Told, waitTimeoutWords } from './words.js';

/** A tick at least this late counts as a stall; less is timer jitter. */
const STALL_MS = 20;
const STALLS = 128;

interface Limits {
  readonly deadlockTimeoutMs: number;
  readonly longHoldMs: number;
  readonly checkIntervalMs: number;
}

/** A long hold or wait on one resource: its incident, and the hold or wait that it currently describes. */
interface Found<T> {
  readonly incident: Incident;
  of: T;
}

export class Watchdog {
  /** In the last check: long holds and waits above the 100 per kind that are reported. */
  unreported = 0;
  readonly #locks: List<LockNode>;
  readonly #waits: ReadonlySet<Wait>;
  readonly #incidents: Incidents;
  readonly #limits: () => Limits;
  #timer: NodeJS.Timeout | null = null;
  #tickAt = 0;
  #stalls: { readonly at: number; readonly ms: number }[] = [];
  readonly #long = new Map<LockNode, Found<TrackedHold>>();
  readonly #late = new Map<Resource, Found<Wait>>();
  readonly #deadlocks = new Set<Incident>();

  constructor(
    locks: List<LockNode>,
    waits: ReadonlySet<Wait>,
    incidents: Incidents,
    limits: () => Limits,
  ) {
    this.#locks = locks;
    this.#waits = waits;
    this.#incidents = incidents;
    this.#limits = limits;
  }

  /** Starts the timer: there is something to check. */
  wake(): void {
    if (this.#timer !== null) return;
    const { checkIntervalMs } = this.#limits();
    this.#tickAt = nowMs();
    this.#timer = setInterval(() => this.#tick(checkIntervalMs), checkIntervalMs);
    this.#timer.unref();
  }

  sleep(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Reports the deadlock again for as long as it lasts. */
  follow(deadlock: Incident): void {
    this.#deadlocks.add(deadlock);
  }

  #tick(intervalMs: number): void {
    const now = nowMs();
    const lateMs = now - this.#tickAt - intervalMs;
    this.#tickAt = now;
    if (lateMs >= STALL_MS) {
      this.#stalls.push({ at: now, ms: lateMs });
      if (this.#stalls.length > STALLS) this.#stalls.shift();
    }
    this.unreported = 0;
    this.#lookAtHolds(now);
    this.#lookAtWaits(now);
    for (const deadlock of this.#deadlocks) {
      if (deadlock.over) this.#deadlocks.delete(deadlock);
      else this.#incidents.again(deadlock);
    }
    if (this.#locks.size === 0 && this.#waits.size === 0) this.sleep();
  }

  #lookAtHolds(now: number): void {
    const { longHoldMs } = this.#limits();
    const still = new Map<LockNode, TrackedHold>();
    for (let lock = this.#locks.first; lock !== null; lock = lock.next) {
      const hold = oldest(lock);
      if (hold === null || now - hold.since < longHoldMs) continue;
      if (this.#activeMs(hold.since, now) < longHoldMs || isDeadlocked(hold)) continue;
      still.set(lock, hold);
    }
    this.#compare(this.#long, still, 'long-hold', (head, hold) =>
      longHoldWords(head, hold, this.#stalledMs(hold.since), nowMs()),
    );
  }

  #lookAtWaits(now: number): void {
    const { deadlockTimeoutMs } = this.#limits();
    const still = new Map<Resource, Wait>();
    for (const wait of this.#waits) {
      if (now - wait.since < deadlockTimeoutMs) break;
      const { on } = wait;
      // A peer may be slow without being at fault; a lock held meanwhile is reported as a long hold.
      if (still.has(on) || (on.kind === 'external' && on.owner === null)) continue;
      if (this.#activeMs(wait.since, now) < deadlockTimeoutMs) continue;
      if (wait.deadlock !== null || blame(on).end === 'deadlock') continue;
      still.set(on, wait);
    }
    this.#compare(this.#late, still, 'lock-wait-timeout', (head, wait) =>
      waitTimeoutWords(head, wait, nowMs()),
    );
  }

  /** Ends incidents that are over, repeats those that last, and opens new ones. */
  #compare<K, T extends TrackedHold | Wait>(
    known: Map<K, Found<T>>,
    still: ReadonlyMap<K, T>,
    kind: ReportKind,
    words: (head: Head, of: T) => Told,
  ): void {
    for (const [key, found] of known) {
      if (still.has(key)) continue;
      found.incident.end();
      known.delete(key);
    }
    for (const [key, of] of still) {
      const found = known.get(key);
      if (found !== undefined) {
        found.of = of;
        this.#incidents.again(found.incident);
      } else if (known.size >= MOST) {
        this.unreported += 1;
      } else {
        const begun: Pick<Found<T>, 'of'> = { of };
        const tell = (head: Head) => words(head, begun.of);
        const incident = this.#incidents.open(kind, false, of.since, tell);
        known.set(key, Object.assign(begun, { incident }));
      }
    }
  }

  #activeMs(since: number, now: number): number {
    return now - since - this.#stalledMs(since);
  }

  #stalledMs(since: number): number {
    let stalled = 0;
    for (const { at, ms } of this.#stalls) if (at > since) stalled += Math.min(ms, at - since);
    return stalled;
  }
}

type TrackedHold = Hold & { readonly since: number };

/** The oldest hold that is tracked; the age of one taken in mode `off` is unknown. */
function oldest(lock: LockNode): TrackedHold | null {
  let hold = lock.holders.first;
  while (hold !== null && !isTracked(hold)) hold = hold.next;
  return hold;
}

function isTracked(hold: Hold): hold is TrackedHold {
  return hold.since !== null;
}

function isDeadlocked(hold: Hold): boolean {
  return hold.task?.waits.some((wait) => wait.deadlock !== null) ?? false;
}
