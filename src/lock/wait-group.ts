/**
 * Owns: a set of named members and those who wait until it is empty.
 * Keeps V8: whoever waits for it can say whom it still waits for.
 */
import { type Detector, defaultDetector } from './detector.js';
import { LockOptionError } from './errors.js';
import { checkTimeout, type Member, type Task, Wait, type WaitOptions } from './nodes.js';

export interface WaitGroupOptions {
  /** The class of the group, such as `server.connections`. */
  readonly name: string;
  /** Who watches it; the default detector unless given. */
  readonly detector?: Detector | undefined;
}

/** Counts work in flight by name; `wait` resolves when none is left. May be used again after that. */
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

  /** As reports call it: `waitgroup:server.connections`. */
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

  /** Adds a member, done by `task` if one is named; returns what takes it out again (idempotent). */
  add(memberName: string, task?: Task): () => void {
    const member: Member = { name: memberName, task: task ?? null };
    this.members.add(member);
    if (task !== undefined) {
      task.owns += 1;
      // If the new member waits already, that may close a cycle with who waits for the group.
      if (task.waits.length > 0) for (const wait of this.#waits) this.#detector.check(wait);
    }
    return () => this.#done(member);
  }

  /**
   * Runs `fn` at once as a new task that is a member until it settles; returns its promise. Whoever
   * awaits that says so with `task`, or a lock that it holds and the member wants is not known as the
   * deadlock it is.
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
   * @throws LockTimeoutError `lock_timeout` after `timeoutMs`, naming who was left; the signal's reason
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
