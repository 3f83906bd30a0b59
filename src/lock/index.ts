/**
 * Locks for one thread that name their holders: the public API of `roomcast/lock`. It imports nothing
 * from the rest of roomcast except its clock and timers (`time.ts`).
 */
import { defaultDetector } from './detector.js';
import type { Task } from './nodes.js';
import type { DetectorOptions, LockMetrics, LockSnapshot } from './types.js';

export { Detector, defaultDetector } from './detector.js';
export {
  AsyncCallbackError,
  type CodedError,
  DeadlockError,
  LockBusyError,
  LockClosedError,
  type LockErrorCode,
  LockOptionError,
  LockTimeoutError,
} from './errors.js';
export { Mutex } from './mutex.js';
export type { Guard, Task, WaitOptions } from './nodes.js';
export { type LockOptions, type NotAsync, RWLock, type SyncCallback } from './rw-lock.js';
export type * from './types.js';
export { WaitGroup, type WaitGroupOptions } from './wait-group.js';

/** Calls `defaultDetector.configure`. */
export function configureDetector(options: DetectorOptions): void {
  defaultDetector.configure(options);
}

/** Calls `defaultDetector.runTask`. */
export function runTask<T>(name: string, fn: (task: Task) => T | PromiseLike<T>): Promise<T> {
  return defaultDetector.runTask(name, fn);
}

/** Calls `defaultDetector.snapshot`. */
export function snapshot(limit?: number): LockSnapshot {
  return defaultDetector.snapshot(limit);
}

/** Calls `defaultDetector.metrics`. */
export function lockMetrics(): LockMetrics {
  return defaultDetector.metrics();
}
