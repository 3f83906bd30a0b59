/**
 * Owns: the public data types: reports, snapshots, metrics, options. All are plain JSON except `onReport`.
 */

export type Mode = 'read' | 'write';

/** How a request for a lock ended. `immediate`: granted at once; `waited`: granted after a wait. */
export type LockResult = 'immediate' | 'waited' | 'timeout' | 'aborted' | 'closed' | 'deadlock';

/** `deadlock` and `stuck-at-exit` are certain, the others suspected; docs/lock.md has an example of each. */
export type ReportKind =
  | 'deadlock'
  | 'stuck-at-exit'
  | 'timed-cycle'
  | 'recursive-lock'
  | 'lock-order-inversion'
  | 'wait-while-holding'
  | 'lock-wait-timeout'
  | 'long-hold';

/** The current report of one incident. Repeated reports keep the id; count and age grow. */
export interface LockReport {
  /** Eight hexadecimal digits, constant for the incident. */
  readonly id: string;
  readonly kind: ReportKind;
  /** True if nothing but an abort or a close can end it. */
  readonly certain: boolean;
  /** How often it was reported (a lasting incident) or has happened (a recurring one). */
  readonly count: number;
  /** Milliseconds since it began, or until it ended. */
  readonly ageMs: number;
  /** When it was found, in milliseconds since 1970. */
  readonly at: number;
  /** True once it has ended, and always for a recurring one. */
  readonly over: boolean;
  /** Tasks involved: labels, or the site of a holder or waiter that has no task. */
  readonly tasks: readonly string[];
  /** Each waiter followed by what it waits for, link by link. */
  readonly chain: readonly string[];
  /** The full report text; several lines. */
  readonly text: string;
  /** Stack of each wait's request, if stacks are captured. */
  readonly stacks: readonly LockStack[];
}

export interface LockStack {
  readonly task: string;
  /** Lines of `at function (file:line:column)`. */
  readonly stack: string;
}

export interface DetectorOptions {
  /**
   * `off` measures and tracks nothing; `watch` (default) reports; `strict` also rejects the wait that
   * closes a certain deadlock, with DeadlockError.
   */
  readonly mode?: 'off' | 'watch' | 'strict';
  /** Milliseconds after which a wait is reported as `lock-wait-timeout`. Default: 30,000; Infinity: never. */
  readonly deadlockTimeoutMs?: number;
  /** Milliseconds after which a hold is reported as `long-hold`. Default: 1,000; Infinity: never. */
  readonly longHoldMs?: number;
  /** Milliseconds between checks for long holds and waits. Default: 1,000. */
  readonly checkIntervalMs?: number;
  /** Whether to learn the order in which lock classes are acquired. Default: true. */
  readonly lockOrder?: boolean;
  /** Maximum pairs of lock classes to learn, from 1 to 1,000,000. Default: 4,096. */
  readonly maxOrderEdges?: number;
  /** `blocked` (default): capture the stack of each request that has to wait; `never`: sites only. */
  readonly captureStacks?: 'blocked' | 'never';
  /** Frames of a captured stack, from 1 to 100. Default: 8. */
  readonly stackDepth?: number;
  /**
   * Whether to find the task of a request by AsyncLocalStorage if none is given. Default: false. It slows
   * down every await inside `runTask`. Branches of one task look alike then, so a cycle through such a
   * task is suspected, not certain.
   */
  readonly ambientTasks?: boolean;
  /**
   * Called for each report, never inside the operation that caused it. Errors it throws are counted and
   * ignored. Default: a process warning of type `LockReport`.
   */
  readonly onReport?: (report: LockReport) => void;
}

/** The locks held and waited for, oldest first. */
export interface LockSnapshot {
  readonly mode: 'off' | 'watch' | 'strict';
  readonly held: readonly HeldLock[];
  readonly pending: readonly PendingWait[];
  /** From each waiter to what it waits for, and from there to each holder, member or owner. */
  readonly edges: readonly { readonly from: string; readonly to: string }[];
  /** Number of entries cut off by the limit. */
  readonly leftOut: { readonly held: number; readonly pending: number; readonly edges: number };
  /** All open incidents and the latest ended ones, at most 100; newest last. */
  readonly reports: readonly LockReport[];
  /** Reports not passed to `onReport`, because more than 100 were pending. */
  readonly untold: number;
  /** Long holds and waits of the last check above the 100 of each kind that are reported. */
  readonly unreported: number;
  /** Number of times `onReport` threw or rejected. */
  readonly onReportErrors: number;
  /** Learned pairs of lock classes. */
  readonly orderEdges: number;
}

export interface HeldLock {
  readonly lock: string;
  readonly mode: Mode;
  readonly site: string;
  readonly task: string | null;
  readonly ageMs: number;
}

export interface PendingWait {
  /** What it waits for: `lock:…`, `waitgroup:…`, or the description given to `waitsOn`. */
  readonly on: string;
  readonly mode: Mode | null;
  readonly site: string;
  readonly task: string | null;
  readonly ageMs: number;
  readonly timeoutMs: number | null;
}

/** All metrics, for one scrape. Their size depends on the code, not on the load. */
export interface LockMetrics {
  /** Upper bounds of the buckets, in seconds. */
  readonly buckets: readonly number[];
  /** A row for each lock class (at most 16, then `other`) and mode. */
  readonly locks: readonly LockMetricsRow[];
  /** Seconds of waiting for holders that acquired the lock at `site` (at most 64, then `other`). */
  readonly blocked: readonly {
    readonly lock: string;
    readonly site: string;
    readonly seconds: number;
  }[];
  /** Incidents since the start; contains every kind. */
  readonly reports: Readonly<Record<ReportKind, number>>;
  /** Tasks in a deadlock now. */
  readonly deadlockedTasks: number;
}

export interface LockMetricsRow {
  readonly lock: string;
  readonly mode: Mode;
  readonly wait: LockHistogram;
  readonly hold: LockHistogram;
  readonly acquisitions: Readonly<Record<LockResult, number>>;
  readonly waiters: number;
  readonly holders: number;
  readonly oldestWaitSeconds: number;
  readonly oldestHoldSeconds: number;
}

export interface LockHistogram {
  /** For each bucket, the number of values up to its bound. */
  readonly cumulative: readonly number[];
  readonly count: number;
  /** Seconds. */
  readonly sum: number;
}
