/**
 * Owns no state: exposes the exclusive half of RWLock under a mutex's names.
 */
import type { Guard, Task, WaitOptions } from './nodes.js';
import { type LockOptions, RWLock, type SyncCallback } from './rw-lock.js';

/** A FIFO lock with one holder. Not re-entrant. Throws the errors of `RWLock`. */
export class Mutex {
  readonly #lock: RWLock;

  constructor(options: LockOptions) {
    this.#lock = new RWLock(options);
  }

  get name(): string {
    return this.#lock.name;
  }

  /** The reason passed to `close`, or null while the mutex is open. */
  get closed(): { readonly reason: unknown } | null {
    return this.#lock.closed;
  }

  /** Runs `fn` now with the lock held; see `RWLock.withWriteSync`. */
  withLockSync<T>(site: string, fn: SyncCallback<T>): T {
    return this.#lock.withWriteSync(site, fn);
  }

  /** A guard if the lock is free, else null. */
  tryLock(site: string, task?: Task): Guard | null {
    return this.#lock.tryWrite(site, task);
  }

  /** Acquires the lock in FIFO order; rejects as `RWLock.read`. */
  lock(site: string, options?: WaitOptions): Promise<Guard> {
    return this.#lock.write(site, options);
  }

  /** Rejects every current and later wait with LockClosedError. Idempotent. */
  close(reason: unknown): void {
    this.#lock.close(reason);
  }
}
