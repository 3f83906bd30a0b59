/**
 * Owns: the state of all locks and waits, and its analysis: whether a wait closes a cycle, whether locks
 * are acquired in conflicting orders. Each check runs in the call that causes the change; only long
 * holds and waits are left to the watchdog. The detector only observes, except that mode `strict`
 * rejects the wait that closes a certain deadlock.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { nowMs } from '../time.js';
import { DeadlockError } from './errors.js';
import { unwatchExit, watchExit } from './exit.js';
import { findCycle, resolvesByTimeout } from './graph.js';
import { type Incident, Incidents } from './incidents.js';
import { List } from './list.js';
import { type Asked, type Hold, type LockNode, type Resource, Task, type Wait } from './nodes.js';
import { LockOrder } from './order.js';
import { checkSettings, DEFAULTS } from './settings.js';
import { picture } from './snapshot.js';
import { BUCKETS, LockStats } from './stats.js';
import type { DetectorOptions, LockMetrics, LockResult, LockSnapshot } from './types.js';
import { Watchdog } from './watchdog.js';
import {
  deadlockWords,
  inversionWords,
  recursiveWords,
  stuckWords,
  waitWhileHoldingWords,
} from './words.js';

/** Watches the locks, wait-groups and tasks made with it. Most programs need only the default one. */
export class Detector {
  /** @internal Mode is not `off`. */
  tracking = true;
  /** @internal */
  readonly stats = new LockStats();
  readonly #locks = new List<LockNode>();
  readonly #waits = new Set<Wait>();
  readonly #order = new LockOrder();
  readonly #incidents = new Incidents();
  readonly #watchdog: Watchdog;
  #settings = DEFAULTS;
  #ambient: AsyncLocalStorage<Task> | null = null;
  #stuck: Incident | null = null;

  /** @throws LockOptionError `lock_bad_option`. */
  constructor(options: DetectorOptions = {}) {
    this.#watchdog = new Watchdog(this.#locks, this.#waits, this.#incidents, () => this.#settings);
    this.configure(options);
  }

  /**
   * Changes the given options and keeps the others. Holds and waits that began in mode `off` stay untracked.
   *
   * @throws LockOptionError `lock_bad_option`.
   */
  configure(options: DetectorOptions): void {
    const { onReport, ...rest } = options;
    const settings = { ...this.#settings, ...rest };
    checkSettings(settings);
    this.#settings = settings;
    this.tracking = settings.mode !== 'off';
    if (onReport !== undefined) this.#incidents.onReport = onReport;
    if (settings.ambientTasks) this.#ambient ??= new AsyncLocalStorage();
    else this.#ambient = null;
    this.#watchdog.sleep();
    if (this.#locks.size > 0 || this.#waits.size > 0) this.#watchdog.wake();
  }

  /**
   * Runs `fn` at once as a new task and returns its promise. Pass the task to every wait inside. If `fn`
   * throws, the promise rejects.
   */
  runTask<T>(name: string, fn: (task: Task) => T | PromiseLike<T>): Promise<T> {
    return this.run(this.newTask(name), fn);
  }

  /** The current holds and waits, and the latest reports; at most `limit` entries (1,000) per list. */
  snapshot(limit = 1_000): LockSnapshot {
    return {
      mode: this.#settings.mode,
      ...picture(this.#locks, this.#waits, limit),
      reports: this.#incidents.reports(),
      untold: this.#incidents.untold,
      unreported: this.#watchdog.unreported,
      onReportErrors: this.#incidents.onReportErrors,
      orderEdges: this.#order.size,
    };
  }

  /** All metrics, for one scrape. */
  metrics(): LockMetrics {
    let deadlockedTasks = 0;
    for (const { on, deadlock } of this.#waits) {
      if (on.kind === 'lock') this.charge(on);
      if (deadlock !== null) deadlockedTasks += 1;
    }
    return {
      buckets: BUCKETS,
      ...this.stats.read(this.#locks, this.#waits),
      reports: { ...this.#incidents.totals },
      deadlockedTasks,
    };
  }

  /** @internal */
  newTask(name: string): Task {
    const parent = this.#ambient?.getStore();
    // A child inherits its parent's name, never its locks.
    const full = parent === undefined ? name : `${parent.name}/${name}`;
    return new Task(full, this, this.#ambient !== null);
  }

  /** @internal */
  async run<T>(task: Task, fn: (task: Task) => T | PromiseLike<T>): Promise<T> {
    try {
      return await (this.#ambient === null ? fn(task) : this.#ambient.run(task, fn, task));
    } finally {
      task.ended = true;
    }
  }

  /** @internal The ambient task, for a request without one. */
  current(): Task | null {
    return this.#ambient?.getStore() ?? null;
  }

  /** @internal A hold begins that lasts across awaits. */
  taken(hold: Hold): void {
    const { lock, task } = hold;
    hold.since = nowMs();
    if (task !== null) task.held.push(hold);
    if (lock.listed) return;
    lock.listed = true;
    this.#locks.push(lock);
    this.#watchdog.wake();
  }

  /** @internal */
  released(hold: Hold): void {
    const { lock, mode, since, task } = hold;
    if (since !== null) this.stats.held(lock.slot, mode, nowMs() - since);
    if (task !== null) remove(task.held, hold);
  }

  /** @internal `task` is now responsible for releasing `hold`, so waits for it depend on `task`. */
  handed(hold: Hold, task: Task | null): void {
    if (hold.task !== null) remove(hold.task.held, hold);
    hold.task = task;
    const waits: Wait[] = [];
    for (let wait = hold.lock.queue?.first ?? null; wait !== null; wait = wait.next) {
      waits.push(wait);
    }
    for (const wait of waits) wait.deadlock?.end();
    task?.held.push(hold);
    // With another task the cycles may be different ones.
    for (const wait of waits) this.check(wait);
  }

  /** @internal The lock has no holders any more. */
  unlist(lock: LockNode): void {
    lock.listed = false;
    this.#locks.remove(lock);
  }

  /** @internal Charges the queue's lost time to `site`, by default that of the oldest holder. */
  charge(lock: LockNode, site = lock.holders.first?.site): void {
    const ms = lock.queue?.takeLostMs() ?? 0;
    if (site !== undefined && this.tracking) this.stats.blocked(lock.slot, site, ms);
  }

  /**
   * @internal `task` requests `lock` while it holds others. Learns the lock order; returns the task's
   * existing hold on the same lock, if any.
   */
  nested(lock: LockNode, site: string, task: Task): Hold | null {
    let same: Hold | null = null;
    const { lockOrder, maxOrderEdges } = this.#settings;
    for (const hold of task.held) {
      if (hold.lock === lock) same ??= hold;
      const circle = lockOrder ? this.#order.learn(hold, lock, site, task, maxOrderEdges) : null;
      if (circle === null) continue;
      const key = circle
        .map((edge) => edge.from)
        .sort()
        .join(' ');
      this.#incidents.event('lock-order-inversion', key, (head) => inversionWords(head, circle));
    }
    return same;
  }

  /** @internal A task acquired, without waiting, a lock that it already holds. */
  recursive(hold: Hold, again: Hold): void {
    const key = `${hold.lock.name} ${hold.site} ${again.site}`;
    this.#incidents.event('recursive-lock', key, (head) => recursiveWords(head, hold, again));
  }

  /** @internal `asked` is the called method: the captured stack begins with its caller. */
  blocked(wait: Wait, asked: Asked): void {
    const { captureStacks, stackDepth } = this.#settings;
    wait.watcher = this;
    if (captureStacks === 'blocked') wait.stack = capture(stackDepth, asked);
    if (this.#waits.size === 0) watchExit(this);
    this.#waits.add(wait);
    this.#watchdog.wake();
    const { task, on } = wait;
    if (task === null) return;
    task.waits.push(wait);
    task.onlyWait = task.waits.length === 1 ? wait : null;
    const isOwned = on.kind === 'waitgroup' || (on.kind === 'external' && on.owner !== null);
    if (isOwned && task.held.length > 0) {
      const key = [classOf(on), ...task.held.map(({ lock, site }) => `${lock.name} ${site}`)].join(
        ' ',
      );
      this.#incidents.event('wait-while-holding', key, (head) =>
        waitWhileHoldingWords(head, task, wait),
      );
    }
    this.check(wait);
  }

  /** @internal The wait has left its queue or is about to. */
  ended(wait: Wait, result: LockResult): void {
    const { on, mode, task } = wait;
    this.#waits.delete(wait);
    if (this.#waits.size === 0) {
      unwatchExit(this);
      this.#stuck?.end();
      this.#stuck = null;
    }
    if (on.kind === 'lock' && mode !== null) {
      this.stats.waited(on.slot, mode, nowMs() - wait.since, result);
    }
    wait.deadlock?.end();
    if (task === null) return;
    remove(task.waits, wait);
    // With one wait left the task is sequential again, and may hold one more lock than before.
    task.onlyWait = task.waits.length === 1 ? (task.waits[0] as Wait) : null;
    if (task.onlyWait !== null) this.check(task.onlyWait);
  }

  /** @internal Checks whether `wait` closes a cycle. */
  check(wait: Wait): void {
    const { task } = wait;
    if (task === null || task.onlyWait !== wait || wait.deadlock !== null) return;
    // No wait can depend on a task that holds nothing and owns nothing.
    if (task.held.length === 0 && task.owns === 0) return;
    const found = findCycle(wait);
    if (found === null) return;
    // In the order of formation: the wait that closed the cycle last.
    const cycle = [...found.slice(1), wait];
    if (resolvesByTimeout(cycle)) {
      const key = cycle.map((each) => `${classOf(each.on)} ${each.site}`).join(' ');
      const title = 'CYCLE (will resolve by timeout)';
      this.#incidents.event('timed-cycle', key, (head) => deadlockWords(head, cycle, title));
      return;
    }
    const certain = cycle.every((each) => each.task?.ambient === false);
    const title = `DEADLOCK (${certain ? 'certain' : 'suspected'})`;
    const formedAt = Math.max(...cycle.map((each) => each.since));
    const incident = this.#incidents.open('deadlock', certain, formedAt, (head) =>
      deadlockWords(head, cycle, title),
    );
    const deadlock = {
      end: () => {
        incident.end();
        for (const each of cycle) if (each.deadlock === deadlock) each.deadlock = null;
      },
    };
    for (const each of cycle) each.deadlock = deadlock;
    if (certain && this.#settings.mode === 'strict') {
      wait.fail(new DeadlockError(incident.report()), 'deadlock');
    } else {
      this.#watchdog.follow(incident);
    }
  }

  /** @internal The event loop is empty. */
  atExit(): void {
    const waits = [...this.#waits];
    const isOurs = ({ on }: Wait) => on.kind !== 'external' || on.owner !== null;
    if (this.#stuck !== null || !waits.some(isOurs)) return;
    const since = waits[0]?.since ?? nowMs();
    this.#stuck = this.#incidents.open('stuck-at-exit', true, since, (head) =>
      stuckWords(head, waits, nowMs()),
    );
  }
}

/** Node formats the stack only when it is read. */
function capture(depth: number, below: Asked): { readonly stack?: string } {
  const limit = Error.stackTraceLimit;
  const at: { readonly stack?: string } = {};
  Error.stackTraceLimit = depth;
  Error.captureStackTrace(at, below);
  Error.stackTraceLimit = limit;
  return at;
}

/** A name that does not vary with the number of rooms and connections. */
function classOf(on: Resource): string {
  if (on.kind === 'lock') return on.name;
  return on.kind === 'waitgroup' ? on.label : on.kind;
}

function remove<T>(items: T[], item: T): void {
  const at = items.indexOf(item);
  if (at >= 0) items.splice(at, 1);
}

/** The detector of locks, wait-groups and tasks that are created without one. */
export const defaultDetector = new Detector();
