/**
 * Locks for one thread that say who holds them: the public surface of `roomcast/lock`. Imports nothing
 * from the rest of roomcast.
 */
export {
  AsyncCallbackError,
  type CodedError,
  LockBusyError,
  LockClosedError,
  type LockErrorCode,
  LockOptionError,
  LockTimeoutError,
} from './errors.js';
export { Mutex } from './mutex.js';
export {
  type Guard,
  type LockOptions,
  type NotAsync,
  RWLock,
  type SyncCallback,
} from './rw-lock.js';
export { runTask, Task } from './task.js';
export type { Mode, WaitOptions } from './wait.js';
export { WaitGroup, type WaitGroupOptions } from './wait-group.js';
