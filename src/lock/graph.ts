/**
 * Owns: the queries on the wait-for graph: does this wait close a cycle, and what is a wait ultimately
 * blocked by. They run synchronously, so the graph cannot change meanwhile and the answers are exact.
 *
 * A wait is blocked if any task that must act to end it is blocked. A task with more than one wait is not
 * sequential: one branch may release what another waits for, so no cycle is followed through it.
 */
import type { Resource, Task, Wait } from './nodes.js';

let search = 0;

/** The cycle that `start` closes, from `start` on, each wait followed by its holder's; or null. */
export function findCycle(start: Wait): Wait[] | null {
  const goal = start.task;
  if (goal === null) return null;
  search += 1;
  const open: Wait[] = [];
  for (let wait: Wait | undefined = start; wait !== undefined; wait = open.pop()) {
    if (reach(wait, goal, open)) return path(start, wait);
  }
  return null;
}

/** Pushes to `open` the waits of all tasks that must act to end `wait`; true if `goal` is one of them. */
function reach(wait: Wait, goal: Task, open: Wait[]): boolean {
  const { on } = wait;
  if (on.kind === 'lock') {
    for (let hold = on.holders.first; hold !== null; hold = hold.next) {
      if (visit(hold.task, wait, goal, open)) return true;
    }
    return false;
  }
  if (on.kind === 'external') return visit(on.owner, wait, goal, open);
  for (const member of on.members) if (visit(member.task, wait, goal, open)) return true;
  return false;
}

function visit(task: Task | null, wait: Wait, goal: Task, open: Wait[]): boolean {
  if (task === null) return false;
  if (task === goal) return true;
  if (task.mark === search) return false;
  task.mark = search;
  task.reachedBy = wait;
  if (task.onlyWait !== null) open.push(task.onlyWait);
  return false;
}

function path(start: Wait, last: Wait): Wait[] {
  const steps: Wait[] = [];
  let wait = last;
  while (wait !== start) {
    steps.push(wait);
    wait = wait.task?.reachedBy ?? start;
  }
  steps.push(start);
  return steps.reverse();
}

/** Whether a timeout ends `cycle`: that of a wait in it, or those of all writers that block a reader. */
export function resolvesByTimeout(cycle: readonly Wait[]): boolean {
  return cycle.some((wait) => wait.timeoutMs !== null || waitsBehindDeadlines(wait));
}

/** True for a reader that is blocked only by queued writers, all of which will time out. */
function waitsBehindDeadlines(wait: Wait): boolean {
  if (wait.mode !== 'read' || wait.on.kind !== 'lock' || wait.on.holders.first?.mode === 'write') {
    return false;
  }
  for (let ahead = wait.previous; ahead !== null; ahead = ahead.previous) {
    if (ahead.mode === 'write' && ahead.timeoutMs === null) return false;
  }
  return true;
}

/** How a blame chain ends. */
type ChainEnd = 'external' | 'running' | 'ended' | 'unknown' | 'deadlock' | 'cycle';

export interface Blame {
  /** Each holder, and the wait it is in; the last one may have none. */
  readonly links: readonly { readonly label: string; readonly wait: Wait | null }[];
  readonly end: ChainEnd;
}

/** The blame chain: from the oldest holder of `on` to the cause that everything waits for in the end. */
export function blame(on: Resource): Blame {
  const links: { label: string; wait: Wait | null }[] = [];
  const seen = new Set<Task>();
  let resource = on;
  for (;;) {
    const holder = oldest(resource);
    if (holder === null)
      return { links, end: resource.kind === 'external' ? 'external' : 'unknown' };
    const { task } = holder;
    const wait = task?.waits[0] ?? null;
    links.push({ label: holder.label, wait });
    if (task === null) return { links, end: 'unknown' };
    if (seen.has(task)) return { links, end: 'cycle' };
    seen.add(task);
    if (wait === null) return { links, end: task.ended ? 'ended' : 'running' };
    if (wait.deadlock !== null) return { links, end: 'deadlock' };
    resource = wait.on;
  }
}

function oldest(on: Resource): { readonly label: string; readonly task: Task | null } | null {
  if (on.kind === 'lock') return on.holders.first;
  if (on.kind === 'external') return on.owner && { label: on.owner.label, task: on.owner };
  for (const { name, task } of on.members) return { label: task?.label ?? name, task };
  return null;
}
