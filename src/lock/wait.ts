/**
 * Owns: one pending wait, from the moment it blocks until it is granted, refused, aborted or late.
 * Keeps V8: its timer and its place at the signal go when it settles, however it settles.
 * Not here: queues (rw-lock.ts, wait-group.ts).
 */
import { unwatchSignal, watchSignal } from './abort.js';
import { LockOptionError, LockTimeoutError } from './errors.js';
import type { Task } from './task.js';

export type Mode = 'read' | 'write';

/** How long to wait and on whose behalf; all optional. */
export interface WaitOptions {
  /** The task that waits. Without one the wait is anonymous: it cannot be part of a found cycle. */
  readonly task?: Task | undefined;
  /** Aborting rejects the wait with the signal's reason and leaves the queue as if it had never come. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the wait rejects with `LockTimeoutError`; none by default, 0 to not wait at all. */
  readonly timeoutMs?: number | undefined;
}

/** What can be waited for. */
export interface Resource {
  /** For messages: `lock:room.members`, `waitgroup:server.connections`. */
  readonly label: string;
  /** For messages: who has it now. */
  heldBy(): string;
  /** Forget a wait that gave up. */
  withdraw(wait: Wait): void;
}

export class Wait {
  readonly on: Resource;
  readonly mode: Mode | null;
  readonly site: string;
  readonly task: Task | null;
  readonly timeoutMs: number | null;
  readonly promise: Promise<unknown>;
  /** Neighbours in the queue of a lock. */
  previous: Wait | null = null;
  next: Wait | null = null;

  #resolve: (value: unknown) => void = settled;
  #reject: (error: unknown) => void = settled;
  #timer: NodeJS.Timeout | null = null;
  #signal: AbortSignal | null = null;

  constructor(on: Resource, mode: Mode | null, site: string, options: WaitOptions) {
    const { task = null, signal = null, timeoutMs = null } = options;
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

  /** The resource has already let go of this wait. */
  grant(value: unknown): void {
    this.#release();
    this.#resolve(value);
  }

  /** The resource has already let go of this wait. */
  refuse(error: unknown): void {
    this.#release();
    this.#reject(error);
  }

  aborted(reason: unknown): void {
    this.on.withdraw(this);
    this.refuse(reason);
  }

  #late(timeoutMs: number): void {
    const held = this.on.heldBy();
    this.on.withdraw(this);
    this.refuse(
      new LockTimeoutError(`${this.label} waiting for ${this.on.label}`, timeoutMs, held),
    );
  }

  #release(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#signal !== null) unwatchSignal(this.#signal, this);
    this.#timer = null;
    this.#signal = null;
  }
}

function settled(): void {}

export function checkTimeout(timeoutMs: number | undefined): void {
  // setTimeout turns anything above 2^31 - 1 into 1 ms.
  if (timeoutMs !== undefined && !(timeoutMs >= 0 && timeoutMs < 2 ** 31)) {
    throw new LockOptionError('timeoutMs', timeoutMs, 'milliseconds from 0 to 2147483647');
  }
}
