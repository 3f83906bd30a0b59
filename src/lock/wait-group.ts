/**
 * Owns: a set of named members and those who wait until it is empty.
 * Keeps V8: whoever waits for it can say who it still waits for.
 */
import { LockOptionError } from './errors.js';
import { Task } from './task.js';
import { checkTimeout, type Resource, Wait, type WaitOptions } from './wait.js';

interface Member {
  readonly name: string;
  readonly task: Task | null;
}

export interface WaitGroupOptions {
  /** The class of the group, such as `server.connections`. */
  readonly name: string;
}

/** Counts work in flight by name; `wait` resolves when none is left. May be used again after that. */
export class WaitGroup implements Resource {
  readonly name: string;
  readonly #members = new Set<Member>();
  readonly #waits = new Set<Wait>();

  /** @throws LockOptionError `lock_bad_option`: an empty name. */
  constructor(options: WaitGroupOptions) {
    if (options.name === '') throw new LockOptionError('name', '', 'the class of the group');
    this.name = options.name;
  }

  get label(): string {
    return `waitgroup:${this.name}`;
  }

  /** Number of members. */
  get size(): number {
    return this.#members.size;
  }

  /** Names of the members, oldest first. */
  pending(): string[] {
    return Array.from(this.#members, (member) => member.name);
  }

  /** Adds a member, done by `task` if one is named; returns what takes it out again (idempotent). */
  add(memberName: string, task?: Task): () => void {
    const member: Member = { name: memberName, task: task ?? null };
    this.#members.add(member);
    return () => this.#done(member);
  }

  /** Runs `fn` at once as a new task that is a member until it settles; returns its promise. */
  async go<T>(name: string, fn: (task: Task) => T | PromiseLike<T>): Promise<T> {
    const task = new Task(name);
    const done = this.add(name, task);
    try {
      return await fn(task);
    } finally {
      done();
    }
  }

  /**
   * Resolves when no member is left, at once if there is none.
   *
   * @throws LockTimeoutError `lock_timeout` after `timeoutMs`, naming who was left; the signal's reason
   *   once it is aborted; LockOptionError `lock_bad_option`. All as rejections.
   */
  async wait(options: WaitOptions = {}): Promise<void> {
    checkTimeout(options.timeoutMs);
    options.signal?.throwIfAborted();
    if (this.#members.size === 0) return;
    const wait = new Wait(this, null, this.label, options);
    this.#waits.add(wait);
    await wait.promise;
  }

  /** @internal */
  heldBy(): string {
    const names = this.pending();
    const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
    const members = `${names.length} ${names.length === 1 ? 'member' : 'members'} left`;
    return `${this.label} has ${members} (${names.slice(0, 5).join(', ')}${more})`;
  }

  /** @internal */
  withdraw(wait: Wait): void {
    this.#waits.delete(wait);
  }

  #done(member: Member): void {
    if (!this.#members.delete(member) || this.#members.size > 0) return;
    const waits = Array.from(this.#waits);
    this.#waits.clear();
    for (const wait of waits) wait.grant(undefined);
  }
}
