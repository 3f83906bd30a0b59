/**
 * Owns: nothing of its own: the exclusive half of RWLock under the names a mutex has.
 */
import type { Guard, Task, WaitOptions } from './nodes.js';
import { type LockOptions, RWLock, type SyncCallback } from './rw-lock.js';

/** A first-come-first-served lock with one holder. Not re-entrant. Errors are those of `RWLock`. */
export class Mutex {
  readonly #lock: RWLock;

  constructor(options: LockOptions) {
    this.#lock = new RWLock(options);
  }

  get name(): string {
    return this.#lock.name;
  }

  /** Why the mutex was closed, or null while it is open. */
  get closed(): { readonly reason: unknown } | null {
    return this.#lock.closed;
  }

  /** Runs `fn` now with the lock held; see `RWLock.withWriteSync`. */
  withLockSync<T>(site: string, fn: SyncCallback<T>): T {
    return this.#lock.withWriteSync(site, fn);
  }

  /** The lock if it can be had now, else null. */
  tryLock(site: string, task?: Task): Guard | null {
    return this.#lock.tryWrite(site, task);
  }

  /** The lock, in the order of asking; rejects as `RWLock.read`. */
  lock(site: string, options?: WaitOptions): Promise<Guard> {
    return this.#lock.write(site, options);
  }

  /** Rejects every wait, now and later, with LockClosedError. Idempotent. */
  close(reason: unknown): void {
    this.#lock.close(reason);
  }
}
