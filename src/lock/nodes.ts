/**
 * Owns: the nodes of the wait-for graph: tasks, holds, waits and the resources between them.
 * Keeps V8: a wait has an owner, a name, a signal and a deadline; its timer and its signal listener are
 * released when it settles, in whatever way.
 * Not here: granting of locks (rw-lock.ts), analysis of the graph (detector.ts).
 */

import { clearTimeout, nowMs, setTimeout } from '../time.js';
import { unwatchSignal, watchSignal } from './abort.js';
import { LockOptionError, LockTimeoutError } from './errors.js';
import type { Linked, List } from './list.js';
import type { LockResult, Mode } from './types.js';

/** The task, signal and timeout of a wait; all optional. */
export interface WaitOptions {
  /** The waiting task. Without one the wait is anonymous: no cycle through it can be found. */
  readonly task?: Task | undefined;
  /** Aborting it rejects the wait with the signal's reason and removes the wait from the queue. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the wait rejects with `LockTimeoutError`, at most 2,147,483,647. Default: none. */
  readonly timeoutMs?: number | undefined;
}

export interface LockNode extends Linked<LockNode> {
  readonly kind: 'lock';
  readonly name: string;
  readonly label: string;
  /** Its row in the metrics. */
  readonly slot: number;
  /** Oldest first. */
  readonly holders: List<Hold>;
  /** Oldest first; null if empty. */
  readonly queue: WaitQueue | null;
  /** Whether it is in the detector's list of held locks. */
  listed: boolean;
  heldBy(): string;
  withdraw(wait: Wait): void;
  letGo(hold: Hold): void;
  handOver(hold: Hold, task: Task | null): void;
}

interface GroupNode {
  readonly kind: 'waitgroup';
  readonly label: string;
  /** Oldest first. */
  readonly members: ReadonlySet<Member>;
  heldBy(): string;
  withdraw(wait: Wait): void;
}

export interface Member {
  readonly name: string;
  readonly task: Task | null;
}

/** Something other than a lock or group: a peer's socket, or a queue that `owner` empties. */
interface ExternalNode {
  readonly kind: 'external';
  readonly label: string;
  readonly owner: Task | null;
  heldBy(): string;
  withdraw(wait: Wait): void;
}

export type Resource = LockNode | GroupNode | ExternalNode;

/** The queue of a lock, with the waiting time not yet charged to a holder. */
interface WaitQueue extends List<Wait> {
  takeLostMs(): number;
}

/** The method that requested a wait. */
export type Asked = (...args: never[]) => unknown;

/** Notified when a wait begins and ends. */
export interface Watcher {
  readonly tracking: boolean;
  blocked(wait: Wait, asked: Asked): void;
  ended(wait: Wait, result: LockResult): void;
}

let tasks = 0;

/**
 * The owner of holds and waits, created by `runTask` and `WaitGroup.go`. A task is one sequential flow:
 * give each concurrent branch a task of its own.
 */
export class Task {
  /** The name given. */
  readonly name: string;
  /** Name and number, for reports: `Room.join#17`. */
  readonly label: string;
  /** @internal */
  readonly held: Hold[] = [];
  /** @internal */
  readonly waits: Wait[] = [];
  /** @internal The only wait, if the task is in exactly one. */
  onlyWait: Wait | null = null;
  /** @internal Number of wait-groups and queues that wait for this task. */
  owns = 0;
  /** @internal True once its function has settled. */
  ended = false;
  /** @internal True if the task is found by AsyncLocalStorage. */
  readonly ambient: boolean;
  /** @internal The last search that reached this task, and the wait through which it did. */
  mark = 0;
  /** @internal */
  reachedBy: Wait | null = null;
  readonly #watcher: Watcher;

  /** @internal */
  constructor(name: string, watcher: Watcher, ambient: boolean) {
    this.name = name;
    tasks += 1;
    this.label = `${name}#${tasks}`;
    this.#watcher = watcher;
    this.ambient = ambient;
  }

  /**
   * Declares that this task waits for `promise`, so that reports can show it. `what` describes it, such as
   * `conn c17 drain`. Settles as the promise does. With `owner`, the task that must act (the consumer of a
   * full queue), the wait can be part of a deadlock.
   *
   * @throws LockTimeoutError `lock_timeout`, the signal's reason, DeadlockError `lock_deadlock` (mode
   *   `strict`, with `owner`), LockOptionError `lock_bad_option`. All as rejections.
   */
  async waitsOn<T>(
    what: string,
    promise: PromiseLike<T>,
    options: Omit<WaitOptions, 'task'> & { readonly owner?: Task | undefined } = {},
  ): Promise<T> {
    checkTimeout(options.timeoutMs);
    const owner = options.owner ?? null;
    const served = owner === null ? 'external' : `served by ${owner.label}`;
    const on: ExternalNode = {
      kind: 'external',
      label: what,
      owner,
      heldBy: () => `${what} (${served})`,
      withdraw: () => {
        if (owner !== null) owner.owns -= 1;
      },
    };
    const wait = new Wait(on, null, what, this, options);
    if (owner !== null) owner.owns += 1;
    promise.then(
      (value) => wait.settle(() => wait.grant(value)),
      (error) => wait.settle(() => wait.refuse(error, 'aborted')),
    );
    if (options.signal?.aborted) wait.aborted(options.signal.reason);
    else if (this.#watcher.tracking) this.#watcher.blocked(wait, this.waitsOn);
    return wait.promise as Promise<T>;
  }
}

/**
 * A hold on a lock. Any code that has the guard may release it; a second release does nothing. The task
 * that acquired the lock counts as responsible for the release until `handTo` names another.
 */
export interface Guard extends Disposable {
  readonly mode: Mode;
  readonly site: string;
  readonly released: boolean;
  release(): void;
  /**
   * Makes `task` responsible for the release. Pass null if no task is, as with a timer; no cycle is then
   * found through this hold. Does nothing after the release.
   */
  handTo(task: Task | null): void;
}

export class Hold implements Guard, Linked<Hold> {
  readonly lock: LockNode;
  readonly mode: Mode;
  readonly site: string;
  /** The task responsible for the release. */
  task: Task | null;
  /** By nowMs(); null if untracked. */
  since: number | null = null;
  released = false;
  previous: Hold | null = null;
  next: Hold | null = null;

  constructor(lock: LockNode, mode: Mode, site: string, task: Task | null) {
    this.lock = lock;
    this.mode = mode;
    this.site = site;
    this.task = task;
  }

  get label(): string {
    return this.task?.label ?? this.site;
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    this.lock.letGo(this);
  }

  handTo(task: Task | null): void {
    if (!this.released) this.lock.handOver(this, task);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** A pending wait, from when it blocks until it is granted, refused, aborted or timed out. */
export class Wait implements Linked<Wait> {
  readonly on: Resource;
  readonly mode: Mode | null;
  readonly site: string;
  readonly task: Task | null;
  readonly timeoutMs: number | null;
  readonly promise: Promise<unknown>;
  /** By nowMs(). */
  readonly since = nowMs();
  watcher: Watcher | null = null;
  stack: { readonly stack?: string } | null = null;
  /** The deadlock it is part of. */
  deadlock: { end(): void } | null = null;
  /** Neighbours in the queue of a lock. */
  previous: Wait | null = null;
  next: Wait | null = null;

  #resolve: (value: unknown) => void = ignore;
  #reject: (error: unknown) => void = ignore;
  #timer: NodeJS.Timeout | null = null;
  #signal: AbortSignal | null = null;
  #settled = false;

  constructor(
    on: Resource,
    mode: Mode | null,
    site: string,
    task: Task | null,
    options: WaitOptions,
  ) {
    const { signal = null, timeoutMs = null } = options;
    this.on = on;
    this.mode = mode;
    this.site = site;
    this.task = task;
    this.timeoutMs = timeoutMs;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal !== null) {
      this.#signal = signal;
      watchSignal(signal, this);
    }
    if (timeoutMs !== null) this.#timer = setTimeout(() => this.#late(timeoutMs), timeoutMs);
  }

  get label(): string {
    return this.task?.label ?? this.site;
  }

  /** Resolves the wait. The resource has already removed it. */
  grant(value: unknown): void {
    this.#end('waited');
    this.#resolve(value);
  }

  /** Rejects the wait. The resource has already removed it. */
  refuse(error: unknown, result: LockResult): void {
    this.#end(result);
    this.#reject(error);
  }

  /**
   * Removes the wait from its resource and rejects it. The watcher is notified first: removing it from a
   * queue can grant other waits, and the checks that follow must not see this wait.
   */
  fail(error: unknown, result: LockResult): void {
    this.#end(result);
    this.on.withdraw(this);
    this.#reject(error);
  }

  /** The signal if it is aborted, also while its listener is still notifying the waits. */
  get abortedBy(): AbortSignal | null {
    return this.#signal?.aborted ? this.#signal : null;
  }

  aborted(reason: unknown): void {
    this.fail(reason, 'aborted');
  }

  /** For a promise that settles outside, possibly after this wait has ended. */
  settle(how: () => void): void {
    if (this.#settled) return;
    this.on.withdraw(this);
    how();
  }

  #late(timeoutMs: number): void {
    const waiter = `${this.label}, waiting for ${this.on.label},`;
    this.fail(new LockTimeoutError(waiter, timeoutMs, this.on.heldBy()), 'timeout');
  }

  #end(result: LockResult): void {
    this.#settled = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#signal !== null) unwatchSignal(this.#signal, this);
    this.#timer = null;
    this.#signal = null;
    this.watcher?.ended(this, result);
  }
}

function ignore(): void {}

export function checkTimeout(timeoutMs: number | undefined): void {
  // setTimeout treats anything above 2^31 - 1 as 1 ms.
  if (timeoutMs !== undefined && !(timeoutMs >= 0 && timeoutMs < 2 ** 31)) {
    throw new LockOptionError('timeoutMs', timeoutMs, 'milliseconds from 0 to 2147483647');
  }
}
