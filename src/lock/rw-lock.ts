/**
 * Owns: the holders and the queue of a lock. It is FIFO: a reader that arrives after a waiting
 * writer waits behind it, so writers never starve; adjacent readers share the lock.
 * Keeps V2 by type: a synchronous section cannot return a promise. Keeps V8: a wait has an owner, a
 * signal and a deadline, and `close` settles all waits.
 */

import { nowMs } from '../time.js';
import { type Detector, defaultDetector } from './detector.js';
import { AsyncCallbackError, LockBusyError, LockClosedError, LockOptionError } from './errors.js';
import { List } from './list.js';
import { checkTimeout, type Guard, Hold, type Task, Wait, type WaitOptions } from './nodes.js';
import type { Mode } from './types.js';

export interface LockOptions {
  /** The class of the lock, such as `room.members`: one name however many rooms there are. */
  readonly name: string;
  /** Identifies the lock within its class, such as the room's name. Shown in reports, never in metrics. */
  readonly key?: string | undefined;
  /** The detector that watches it. Default: the default detector. */
  readonly detector?: Detector | undefined;
}

/** Appears in the compiler's error for a callback that returns a promise. */
export interface NotAsync {
  readonly 'a synchronous section may not return a Promise': never;
}

/** A callback whose return type contains no promise. */
export type SyncCallback<T> = (() => T) &
  (0 extends T & 1
    ? unknown
    : [Extract<T, PromiseLike<unknown>>] extends [never]
      ? unknown
      : NotAsync);

/** The waits in the queue of a lock, and the waiting time not yet charged to a holder. */
class Queue extends List<Wait> {
  #lostMs = 0;
  #countedAt = nowMs();

  override push(wait: Wait): void {
    this.#count();
    super.push(wait);
  }

  override remove(wait: Wait): void {
    this.#count();
    super.remove(wait);
  }

  takeLostMs(): number {
    this.#count();
    const lost = this.#lostMs;
    this.#lostMs = 0;
    return lost;
  }

  #count(): void {
    const now = nowMs();
    this.#lostMs += this.size * (now - this.#countedAt);
    this.#countedAt = now;
  }
}

/** A first-come-first-served lock with many readers or one writer. Not re-entrant. */
export class RWLock {
  readonly name: string;
  readonly key: string | undefined;
  /** @internal */
  readonly slot: number;
  /** @internal */
  readonly holders = new List<Hold>();
  /** @internal */
  queue: Queue | null = null;
  /** @internal */
  previous: RWLock | null = null;
  /** @internal */
  next: RWLock | null = null;
  /** @internal */
  listed = false;
  /** Running synchronous sections: the number of readers, or -1 for a writer; and the innermost site. */
  #sections = 0;
  #sectionSite = '';
  readonly #detector: Detector;
  #closed: { readonly reason: unknown } | null = null;

  /** @throws LockOptionError `lock_bad_option`: an empty name. */
  constructor(options: LockOptions) {
    const { name, key, detector = defaultDetector } = options;
    if (name === '') throw new LockOptionError('name', name, 'the class of the lock');
    this.name = name;
    this.key = key;
    this.slot = detector.stats.slot(name);
    this.#detector = detector;
  }

  /** @internal */
  get kind(): 'lock' {
    return 'lock';
  }

  /** The name in reports: `lock:room.members[chat:lobby]`. */
  get label(): string {
    return this.key === undefined ? `lock:${this.name}` : `lock:${this.name}[${this.key}]`;
  }

  /** The reason passed to `close`, or null while the lock is open. */
  get closed(): { readonly reason: unknown } | null {
    return this.#closed;
  }

  /**
   * Runs `fn` now with the lock shared; releases it when `fn` returns or throws.
   *
   * @throws LockBusyError `lock_busy`: a writer holds the lock, or the queue is not empty.
   * @throws LockClosedError `lock_closed`.
   * @throws AsyncCallbackError `lock_async_callback`: `fn` returned a promise.
   */
  withReadSync<T>(site: string, fn: SyncCallback<T>): T {
    return this.#section('read', site, fn);
  }

  /** As `withReadSync`, with the lock exclusive; throws `lock_busy` if it has a holder or a queue. */
  withWriteSync<T>(site: string, fn: SyncCallback<T>): T {
    return this.#section('write', site, fn);
  }

  /** A shared guard, or null if a writer holds the lock, the queue is not empty, or the lock is closed. */
  tryRead(site: string, task?: Task): Guard | null {
    return this.#try('read', site, task ?? this.#detector.current());
  }

  /** An exclusive guard, or null if the lock has a holder or a queue, or is closed. */
  tryWrite(site: string, task?: Task): Guard | null {
    return this.#try('write', site, task ?? this.#detector.current());
  }

  /**
   * Acquires the lock shared, in FIFO order.
   *
   * @throws LockClosedError `lock_closed`; LockTimeoutError `lock_timeout` after `timeoutMs`; the
   *   signal's reason once it is aborted; DeadlockError `lock_deadlock` (mode `strict`);
   *   LockOptionError `lock_bad_option`. All as rejections.
   */
  read(site: string, options?: WaitOptions): Promise<Guard> {
    return this.#acquire('read', site, options);
  }

  /** Acquires the lock exclusively, in FIFO order; rejects as `read`. */
  write(site: string, options?: WaitOptions): Promise<Guard> {
    return this.#acquire('write', site, options);
  }

  /** Rejects every current and later wait with LockClosedError. Existing guards stay valid. Idempotent. */
  close(reason: unknown): void {
    if (this.#closed !== null) return;
    this.#closed = { reason };
    for (let wait = this.queue?.first; wait; wait = this.queue?.first) {
      this.#unqueue(wait);
      wait.refuse(new LockClosedError(this.label, wait.label, reason), 'closed');
    }
  }

  /** @internal */
  heldBy(): string {
    if (this.#sections !== 0)
      return `${this.label} is held by ${this.#sectionSite}, which runs now`;
    const hold = this.holders.first;
    if (hold === null) return `${this.label} is not held`;
    const others = this.holders.size > 1 ? ` and ${this.holders.size - 1} more` : '';
    return `${this.label} (${hold.mode}) is held by ${hold.label}${others}`;
  }

  /** @internal */
  withdraw(wait: Wait): void {
    this.#unqueue(wait);
    this.#grant();
  }

  /** @internal */
  letGo(hold: Hold): void {
    this.holders.remove(hold);
    if (hold.since !== null) this.#detector.released(hold);
    if (this.listed && this.holders.size === 0) this.#detector.unlist(this);
    if (this.queue !== null) this.#serve(hold.site);
  }

  /** @internal */
  handOver(hold: Hold, task: Task | null): void {
    if (hold.since === null) hold.task = task;
    else this.#detector.handed(hold, task);
  }

  #isFree(mode: Mode): boolean {
    const holder = this.holders.first;
    if (mode === 'write') return holder === null && this.#sections === 0;
    return this.#sections >= 0 && (holder === null || holder.mode === 'read');
  }

  #isOpenTo(mode: Mode): boolean {
    return this.queue === null && this.#closed === null && this.#isFree(mode);
  }

  #take(mode: Mode, site: string, task: Task | null): Hold {
    const hold = new Hold(this, mode, site, task);
    this.holders.push(hold);
    if (this.#detector.tracking) this.#detector.taken(hold);
    return hold;
  }

  #try(mode: Mode, site: string, task: Task | null): Hold | null {
    if (!this.#isOpenTo(mode)) return null;
    if (this.#detector.tracking) this.#detector.stats.had(this.slot, mode);
    return this.#take(mode, site, task);
  }

  /** Sections end in reverse order of their start: the call stack keeps the state of the outer one. */
  #section<T>(mode: Mode, site: string, fn: () => T): T {
    if (!this.#isOpenTo(mode)) throw this.#unavailable(mode, site);
    const outside = this.#sections;
    const outsideSite = this.#sectionSite;
    this.#sections = mode === 'read' ? outside + 1 : -1;
    this.#sectionSite = site;
    const stats = this.#detector.tracking ? this.#detector.stats : null;
    const since = stats === null ? 0 : nowMs();
    try {
      const result = fn();
      if (isPromise(result)) throw new AsyncCallbackError(`${site} on ${this.label} (${mode})`);
      return result;
    } finally {
      if (stats !== null) {
        stats.had(this.slot, mode);
        stats.held(this.slot, mode, nowMs() - since);
      }
      this.#sections = outside;
      this.#sectionSite = outsideSite;
      if (this.queue !== null) this.#serve(site);
    }
  }

  #unavailable(mode: Mode, site: string): Error {
    if (this.#closed !== null) return new LockClosedError(this.label, site, this.#closed.reason);
    return new LockBusyError(`${site} on ${this.label} (${mode})`, this.heldBy());
  }

  #acquire(mode: Mode, site: string, options: WaitOptions = {}): Promise<Guard> {
    const detector = this.#detector;
    const refused = this.#refusal(mode, site, options);
    if (refused !== null) return refused;
    const task = options.task ?? detector.current();
    const isNested = task !== null && task.held.length > 0 && detector.tracking;
    const same = isNested ? detector.nested(this, site, task) : null;
    const hold = this.#try(mode, site, task);
    if (hold !== null) {
      if (same !== null) detector.recursive(same, hold);
      return Promise.resolve(hold);
    }
    const wait = new Wait(this, mode, site, task, options);
    this.queue ??= new Queue();
    this.queue.push(wait);
    if (detector.tracking) detector.blocked(wait, mode === 'read' ? this.read : this.write);
    return wait.promise as Promise<Guard>;
  }

  /** The rejection for a request that fails before it waits; null if it may wait. */
  #refusal(mode: Mode, site: string, options: WaitOptions): Promise<never> | null {
    const { signal, timeoutMs } = options;
    if (timeoutMs !== undefined) {
      try {
        checkTimeout(timeoutMs);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    if (this.#closed === null && !signal?.aborted) return null;
    const { stats, tracking } = this.#detector;
    if (tracking) stats.refused(this.slot, mode, this.#closed === null ? 'aborted' : 'closed');
    return Promise.reject(this.#closed === null ? signal?.reason : this.#unavailable(mode, site));
  }

  /** The holder or section at `site` has released the lock. */
  #serve(site: string): void {
    this.#detector.charge(this, site);
    this.#grant();
  }

  #unqueue(wait: Wait): void {
    if (this.queue === null) return;
    this.queue.remove(wait);
    if (this.queue.size > 0) return;
    this.#detector.charge(this);
    this.queue = null;
  }

  /** Grants the lock to the first wait, and to the readers directly behind a reader. */
  #grant(): void {
    for (let wait = this.queue?.first; wait; wait = this.queue?.first) {
      const { mode, site, task, abortedBy } = wait;
      if (mode === null || !this.#isFree(mode)) return;
      this.#unqueue(wait);
      if (abortedBy === null) wait.grant(this.#take(mode, site, task));
      else wait.refuse(abortedBy.reason, 'aborted');
    }
  }
}

function isPromise(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}
