/**
 * Owns: a set of named members and the waits for it to become empty.
 * Keeps V8: a wait can name the members it still waits for.
 */
import { type Detector, defaultDetector } from './detector.js';
import { LockOptionError } from './errors.js';
import { checkTimeout, type Member, type Task, Wait, type WaitOptions } from './nodes.js';

export interface WaitGroupOptions {
  /** The class of the group, such as `server.connections`. */
  readonly name: string;
  /** The detector that watches it. Default: the default detector. */
  readonly detector?: Detector | undefined;
}

/** Counts work in progress by name; `wait` resolves when no member is left. Reusable after that. */
export class WaitGroup {
  readonly name: string;
  /** @internal */
  readonly members = new Set<Member>();
  readonly #waits = new Set<Wait>();
  readonly #detector: Detector;

  /** @throws LockOptionError `lock_bad_option`: an empty name. */
  constructor(options: WaitGroupOptions) {
    const { name, detector = defaultDetector } = options;
    if (name === '') throw new LockOptionError('name', name, 'the class of the group');
    this.name = name;
    this.#detector = detector;
  }

  /** @internal */
  get kind(): 'waitgroup' {
    return 'waitgroup';
  }

  /** The name in reports: `waitgroup:server.connections`. */
  get label(): string {
    return `waitgroup:${this.name}`;
  }

  /** Number of members. */
  get size(): number {
    return this.members.size;
  }

  /** Names of the members, oldest first. */
  pending(): string[] {
    return Array.from(this.members, (member) => member.name);
  }

  /** Adds a member, whose work `task` does if given; returns a function that removes it (idempotent). */
  add(memberName: string, task?: Task): () => void {
    const member: Member = { name: memberName, task: task ?? null };
    this.members.add(member);
    if (task !== undefined) {
      task.owns += 1;
      // If the new member's task already waits, this may close a cycle with a wait for the group.
      if (task.waits.length > 0) for (const wait of this.#waits) this.#detector.check(wait);
    }
    return () => this.#done(member);
  }

  /**
   * Runs `fn` at once as a new task that is a member until it settles; returns its promise. If a task
   * awaits that promise, pass it as `task`. Otherwise the detector cannot see the deadlock in which the
   * awaiting task holds a lock that the member needs.
   *
   * @throws DeadlockError `lock_deadlock` (mode `strict`, with `task`), as a rejection.
   */
  go<T>(
    name: string,
    fn: (task: Task) => T | PromiseLike<T>,
    { task: awaiting }: { readonly task?: Task | undefined } = {},
  ): Promise<T> {
    const task = this.#detector.newTask(name);
    const result = this.#run(name, task, fn);
    if (awaiting === undefined) return result;
    return awaiting.waitsOn(`${this.label} member ${name}`, result, { owner: task });
  }

  async #run<T>(name: string, task: Task, fn: (task: Task) => T | PromiseLike<T>): Promise<T> {
    const done = this.add(name, task);
    try {
      return await this.#detector.run(task, fn);
    } finally {
      done();
    }
  }

  /**
   * Resolves when no member is left, at once if there is none.
   *
   * @throws LockTimeoutError `lock_timeout` after `timeoutMs`, naming who is left; the signal's reason
   *   once it is aborted; DeadlockError `lock_deadlock` (mode `strict`); LockOptionError
   *   `lock_bad_option`. All as rejections.
   */
  async wait(options: WaitOptions = {}): Promise<void> {
    checkTimeout(options.timeoutMs);
    options.signal?.throwIfAborted();
    if (this.members.size === 0) return;
    const task = options.task ?? this.#detector.current();
    const wait = new Wait(this, null, `${this.name}.wait`, task, options);
    this.#waits.add(wait);
    if (this.#detector.tracking) this.#detector.blocked(wait, this.wait);
    await wait.promise;
  }

  /** @internal */
  heldBy(): string {
    const names = this.pending();
    const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
    const count = `${names.length} ${names.length === 1 ? 'member' : 'members'} left`;
    return `${this.label} has ${count} (${names.slice(0, 5).join(', ')}${more})`;
  }

  /** @internal */
  withdraw(wait: Wait): void {
    this.#waits.delete(wait);
  }

  #done(member: Member): void {
    if (!this.members.delete(member)) return;
    if (member.task !== null) member.task.owns -= 1;
    if (this.members.size > 0) return;
    const waits = Array.from(this.#waits);
    this.#waits.clear();
    for (const wait of waits) wait.grant(undefined);
  }
}
