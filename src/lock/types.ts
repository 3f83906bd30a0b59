/**
 * Owns: the shapes that others read: reports, snapshots, metrics, options. All of them are plain JSON
 * but for `onReport`.
 */

export type Mode = 'read' | 'write';

/** How a request for a lock ended. `immediate`: had at once; `waited`: had after waiting. */
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

/** One incident, as it is told now. Told again as it goes on, it keeps its id; its count and age grow. */
export interface LockReport {
  /** Eight hexadecimal digits, the same for as long as the incident lasts. */
  readonly id: string;
  readonly kind: ReportKind;
  /** True if nothing but an abort or a close can end it. */
  readonly certain: boolean;
  /** How often it has been told (what lasts) or has happened (what recurs). */
  readonly count: number;
  /** Milliseconds from when it began until now, or until it was over. */
  readonly ageMs: number;
  /** When it was found, in milliseconds since 1970. */
  readonly at: number;
  /** True once it is no longer so, and for what only happened. */
  readonly over: boolean;
  /** Who is in it: labels of tasks, or the site where a holder or waiter has no task. */
  readonly tasks: readonly string[];
  /** Who waits for what, link by link. */
  readonly chain: readonly string[];
  /** All of it in words; several lines. */
  readonly text: string;
  /** Where each wait in it was asked for, if stacks are captured. */
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
  /** A wait of this many milliseconds is reported as `lock-wait-timeout`: 30,000; Infinity for never. */
  readonly deadlockTimeoutMs?: number;
  /** A hold of this many milliseconds is reported as `long-hold`: 1,000; Infinity for never. */
  readonly longHoldMs?: number;
  /** Milliseconds between looks at long holds and waits: 1,000. */
  readonly checkIntervalMs?: number;
  /** Learn in which order classes of locks are taken: true. */
  readonly lockOrder?: boolean;
  /** Pairs of lock classes to learn at most, from 1 to 1,000,000: 4,096. Learning stops there. */
  readonly maxOrderEdges?: number;
  /** `blocked` (default): the stack of a request that has to wait; `never`: sites only. */
  readonly captureStacks?: 'blocked' | 'never';
  /** Frames of such a stack, from 1 to 100: 8. */
  readonly stackDepth?: number;
  /**
   * Find the task of a request by AsyncLocalStorage where none is given: false. It makes every await
   * inside `runTask` slower, and since branches of one task cannot be told apart, a cycle through such a
   * task is suspected, not certain.
   */
  readonly ambientTasks?: boolean;
  /**
   * Called for each report, never inside the operation that caused it. What it throws is counted and
   * dropped. By default a report is a process warning of type `LockReport`.
   */
  readonly onReport?: (report: LockReport) => void;
}

/** What is held and waited for, oldest first. */
export interface LockSnapshot {
  readonly mode: 'off' | 'watch' | 'strict';
  readonly held: readonly HeldLock[];
  readonly pending: readonly PendingWait[];
  /** Waiter to what it waits for; from there to each that has to let go. */
  readonly edges: readonly { readonly from: string; readonly to: string }[];
  /** Entries beyond the limit. */
  readonly leftOut: { readonly held: number; readonly pending: number; readonly edges: number };
  /** Incidents, open ones and the last that are over, at most 100; newest last. */
  readonly reports: readonly LockReport[];
  /** Reports not handed to `onReport`, because more than 100 came at once. */
  readonly untold: number;
  /** Long holds and waits found at the last look beyond the 100 of a kind that are reported. */
  readonly unreported: number;
  /** Times that `onReport` threw. */
  readonly onReportErrors: number;
  /** Pairs of lock classes learnt. */
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
  /** What is waited for: `lock:…`, `waitgroup:…`, or the words given to `waitsOn`. */
  readonly on: string;
  readonly mode: Mode | null;
  readonly site: string;
  readonly task: string | null;
  readonly ageMs: number;
  readonly timeoutMs: number | null;
}

/** Everything a metrics page needs, read at once. Its size depends on the code, not on the load. */
export interface LockMetrics {
  /** Upper bounds of the buckets, in seconds. */
  readonly buckets: readonly number[];
  /** A row for each class of locks (at most 16, then `other`) and mode. */
  readonly locks: readonly LockMetricsRow[];
  /** Seconds that others lost to holders who took the lock at `site` (at most 64, then `other`). */
  readonly blocked: readonly {
    readonly lock: string;
    readonly site: string;
    readonly seconds: number;
  }[];
  /** Incidents since the start; every kind is there. */
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
  /** For each bucket, how many values were at most its bound. */
  readonly cumulative: readonly number[];
  readonly count: number;
  /** Seconds. */
  readonly sum: number;
}
