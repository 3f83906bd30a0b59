/**
 * Owns: who holds a lock and who is next. First come, first served: a reader that comes after a waiting
 * writer waits behind it, so writers never starve; readers next to each other share.
 * Keeps V2 by type: a synchronous section cannot return a promise. Keeps V8: a wait has an owner, a
 * signal and a deadline, and `close` settles them all.
 */
import { AsyncCallbackError, LockBusyError, LockClosedError, LockOptionError } from './errors.js';
import type { Task } from './task.js';
import { checkTimeout, type Mode, type Resource, Wait, type WaitOptions } from './wait.js';

export interface LockOptions {
  /** The class of the lock, such as `room.members`: one name however many rooms there are. */
  readonly name: string;
  /** Which one of its class, such as the room's name. Shown in reports, never in metrics. */
  readonly key?: string | undefined;
}

/** A hold on a lock. Whoever has the guard may release it; the second release does nothing. */
export interface Guard extends Disposable {
  readonly mode: Mode;
  readonly site: string;
  readonly released: boolean;
  release(): void;
}

/** What the compiler says of a callback that returns a promise. */
export interface NotAsync {
  readonly 'a synchronous section may not return a Promise': never;
}

/** A callback that does not return a promise, not even perhaps. */
export type SyncCallback<T> = (() => T) &
  (0 extends T & 1
    ? unknown
    : [Extract<T, PromiseLike<unknown>>] extends [never]
      ? unknown
      : NotAsync);

class Hold implements Guard {
  readonly lock: RWLock;
  readonly mode: Mode;
  readonly site: string;
  readonly task: Task | null;
  released = false;
  previous: Hold | null = null;
  next: Hold | null = null;

  constructor(lock: RWLock, mode: Mode, site: string, task: Task | null) {
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

  [Symbol.dispose](): void {
    this.release();
  }
}

/** A first-come-first-served lock with many readers or one writer. */
export class RWLock implements Resource {
  readonly name: string;
  readonly key: string | undefined;
  /** Number of readers, or -1 for a writer. */
  #active = 0;
  #holders: Hold | null = null;
  #first: Wait | null = null;
  #last: Wait | null = null;
  #closed: { readonly reason: unknown } | null = null;

  /** @throws LockOptionError `lock_bad_option`: an empty name. */
  constructor(options: LockOptions) {
    if (options.name === '') throw new LockOptionError('name', '', 'the class of the lock');
    this.name = options.name;
    this.key = options.key;
  }

  get label(): string {
    return this.key === undefined ? `lock:${this.name}` : `lock:${this.name}[${this.key}]`;
  }

  /** Why the lock was closed, or null while it is open. */
  get closed(): { readonly reason: unknown } | null {
    return this.#closed;
  }

  /**
   * Runs `fn` now with the lock shared; releases it when `fn` returns or throws.
   *
   * @throws LockBusyError `lock_busy`: a writer holds the lock or waits for it.
   * @throws LockClosedError `lock_closed`.
   * @throws AsyncCallbackError `lock_async_callback`: `fn` returned a promise.
   */
  withReadSync<T>(site: string, fn: SyncCallback<T>): T {
    return this.#section('read', site, fn);
  }

  /** The same with the lock exclusive; `lock_busy` if anyone holds it or waits for it. */
  withWriteSync<T>(site: string, fn: SyncCallback<T>): T {
    return this.#section('write', site, fn);
  }

  /** The lock shared if it can be had now, else null: a writer has it or waits for it, or it is closed. */
  tryRead(site: string, task?: Task): Guard | null {
    return this.#try('read', site, task);
  }

  /** The lock exclusive if it can be had now, else null: anyone has it or waits for it, or it is closed. */
  tryWrite(site: string, task?: Task): Guard | null {
    return this.#try('write', site, task);
  }

  /**
   * The lock shared, in the order of asking.
   *
   * @throws LockClosedError `lock_closed`; LockTimeoutError `lock_timeout` after `timeoutMs`; the
   *   signal's reason once it is aborted; LockOptionError `lock_bad_option`. All as rejections.
   */
  read(site: string, options?: WaitOptions): Promise<Guard> {
    return this.#acquire('read', site, options);
  }

  /** The lock exclusive, in the order of asking; rejects as `read`. */
  write(site: string, options?: WaitOptions): Promise<Guard> {
    return this.#acquire('write', site, options);
  }

  /** Rejects every wait, now and later, with LockClosedError. Guards already given stay good. Idempotent. */
  close(reason: unknown): void {
    if (this.#closed !== null) return;
    this.#closed = { reason };
    while (this.#first !== null) {
      const wait = this.#first;
      this.#unqueue(wait);
      wait.refuse(new LockClosedError(this.label, wait.label, reason));
    }
  }

  /** @internal */
  heldBy(): string {
    const hold = this.#holders;
    if (hold === null) return `${this.label} is not held`;
    const others = this.#active > 1 ? ` and ${this.#active - 1} more` : '';
    return `${this.label} (${hold.mode}) is held by ${hold.label}${others}`;
  }

  /** @internal */
  withdraw(wait: Wait): void {
    this.#unqueue(wait);
    this.#grant();
  }

  /** @internal */
  letGo(hold: Hold): void {
    if (hold.previous === null) this.#holders = hold.next;
    else hold.previous.next = hold.next;
    if (hold.next !== null) hold.next.previous = hold.previous;
    if (hold.mode === 'write') this.#active = 0;
    else this.#active -= 1;
    if (this.#first !== null) this.#grant();
  }

  #free(mode: Mode): boolean {
    return mode === 'read' ? this.#active >= 0 : this.#active === 0;
  }

  #take(mode: Mode, site: string, task: Task | null): Hold {
    const hold = new Hold(this, mode, site, task);
    hold.next = this.#holders;
    if (hold.next !== null) hold.next.previous = hold;
    this.#holders = hold;
    if (mode === 'write') this.#active = -1;
    else this.#active += 1;
    return hold;
  }

  #try(mode: Mode, site: string, task: Task | null = null): Hold | null {
    if (this.#first !== null || this.#closed !== null || !this.#free(mode)) return null;
    return this.#take(mode, site, task);
  }

  #section<T>(mode: Mode, site: string, fn: () => T): T {
    const hold = this.#try(mode, site);
    if (hold === null) {
      if (this.#closed !== null) throw new LockClosedError(this.label, site, this.#closed.reason);
      throw new LockBusyError(`${site} on ${this.label} (${mode})`, this.heldBy());
    }
    try {
      const result = fn();
      if (isPromise(result)) throw new AsyncCallbackError(`${site} on ${this.label} (${mode})`);
      return result;
    } finally {
      hold.release();
    }
  }

  #acquire(mode: Mode, site: string, options: WaitOptions = {}): Promise<Guard> {
    try {
      if (this.#closed !== null) throw new LockClosedError(this.label, site, this.#closed.reason);
      checkTimeout(options.timeoutMs);
      options.signal?.throwIfAborted();
    } catch (error) {
      return Promise.reject(error);
    }
    const hold = this.#try(mode, site, options.task);
    if (hold !== null) return Promise.resolve(hold);
    const wait = new Wait(this, mode, site, options);
    wait.previous = this.#last;
    if (this.#last === null) this.#first = wait;
    else this.#last.next = wait;
    this.#last = wait;
    return wait.promise as Promise<Guard>;
  }

  #unqueue(wait: Wait): void {
    if (wait.previous === null) this.#first = wait.next;
    else wait.previous.next = wait.next;
    if (wait.next === null) this.#last = wait.previous;
    else wait.next.previous = wait.previous;
  }

  /** Hands the lock to whoever is first, and to the readers right behind a reader. */
  #grant(): void {
    for (let wait = this.#first; wait?.mode && this.#free(wait.mode); wait = this.#first) {
      this.#unqueue(wait);
      wait.grant(this.#take(wait.mode, wait.site, wait.task));
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
