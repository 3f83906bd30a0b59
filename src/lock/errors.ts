/**
 * Owns: the errors of the lock module. Every error has a `code`; its message says what was wrong, with
 * which value, and what would be allowed.
 */
import type { LockReport } from './types.js';

export type LockErrorCode =
  | 'lock_closed'
  | 'lock_timeout'
  | 'lock_busy'
  | 'lock_deadlock'
  | 'lock_async_callback'
  | 'lock_bad_option';

/** Common to all errors of this module. `AsyncCallbackError` is a `TypeError`, the others are not. */
export interface CodedError extends Error {
  readonly code: LockErrorCode;
}

/** The lock was closed before or during the wait. */
export class LockClosedError extends Error implements CodedError {
  override readonly name = 'LockClosedError';
  readonly code = 'lock_closed';
  /** The argument of `close(reason)`. */
  readonly reason: unknown;

  constructor(lock: string, site: string, reason: unknown) {
    super(`${lock} is closed (${String(reason)}): ${site} cannot acquire it`);
    this.reason = reason;
  }
}

/** A wait exceeded its own `timeoutMs`. */
export class LockTimeoutError extends Error implements CodedError {
  override readonly name = 'LockTimeoutError';
  readonly code = 'lock_timeout';
  readonly timeoutMs: number;

  constructor(waiter: string, timeoutMs: number, held: string) {
    super(`${waiter} timed out after timeoutMs=${timeoutMs}: ${held}`);
    this.timeoutMs = timeoutMs;
  }
}

/** A synchronous section found its lock taken. In one thread that is a bug: the message names the holder. */
export class LockBusyError extends Error implements CodedError {
  override readonly name = 'LockBusyError';
  readonly code = 'lock_busy';

  constructor(wanted: string, held: string) {
    super(
      `${wanted} must run synchronously, but ${held}; to wait for the lock, acquire it with await`,
    );
  }
}

/** The callback of a synchronous section returned a promise; its work would run without the lock. */
export class AsyncCallbackError extends TypeError implements CodedError {
  override readonly name = 'AsyncCallbackError';
  readonly code = 'lock_async_callback';

  constructor(wanted: string) {
    super(
      `the callback of ${wanted} returned a promise: everything after its first await would run without the lock; ` +
        'make it synchronous, or acquire the lock with await and release the guard',
    );
  }
}

/** Mode `strict`: the wait would have closed a deadlock and was rejected. */
export class DeadlockError extends Error implements CodedError {
  override readonly name = 'DeadlockError';
  readonly code = 'lock_deadlock';
  readonly report: LockReport;

  constructor(report: LockReport) {
    super(report.text);
    this.report = report;
  }
}

/** An option has a value that is not allowed. */
export class LockOptionError extends RangeError implements CodedError {
  override readonly name = 'LockOptionError';
  readonly code = 'lock_bad_option';

  constructor(option: string, value: unknown, expected: string) {
    super(`${option} is ${JSON.stringify(value) ?? String(value)}: expected ${expected}`);
  }
}
