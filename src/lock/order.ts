/**
 * Owns: the observed acquisition order of lock classes, and the check whether a new observation closes a
 * cycle that tasks could deadlock in. It works by class, so that one observation covers every room; two
 * locks of one class are not a pair. A cycle is reported only if each pair in it was acquired by a different
 * task, and no two of these tasks held a common lock exclusively from before (a gate): a single task,
 * or tasks that a gate serializes, cannot deadlock.
 *
 * Bounded: at most `maxEdges` pairs are learned, and at most `MOST_SEEN` gate sets for each pair.
 */
import type { Hold, LockNode, Task } from './nodes.js';

/** `task` held `from`, acquired at `fromSite`, when it requested `to` at `toSite`. */
export interface OrderEdge {
  readonly from: string;
  readonly to: string;
  readonly fromSite: string;
  readonly toSite: string;
  readonly task: string;
}

/** `gates`: numbers of the locks held exclusively since before `from` was acquired. */
interface Seen {
  readonly gates: readonly number[];
  /** One edge per task. With `MANY_TASKS` of them, any task is assumed to take this edge. */
  readonly edges: OrderEdge[];
}

interface Pair {
  readonly to: string;
  readonly seen: Seen[];
  /** True once `MANY_TASKS` tasks were seen without a gate: there is nothing more to learn. */
  isSettled: boolean;
}

/** A step of the search from the new edge: the class reached, the gates and the tasks on the way. */
interface Step {
  readonly at: string;
  readonly gates: readonly number[];
  readonly tasks: readonly string[];
  readonly edge: OrderEdge;
  readonly before: Step | null;
}

const MOST_SEEN = 8;
const MANY_TASKS = 4;
/** Maximum steps of one search; programs have few classes, so a search this long is not expected. */
const MOST_STEPS = 10_000;

export class LockOrder {
  size = 0;
  readonly #pairs = new Map<string, Map<string, Pair>>();
  readonly #numbers = new WeakMap<LockNode, number>();
  #locks = 0;

  /**
   * Learns that `hold.lock` came before `lock`; returns the cycle this closes, the new pair last, or null.
   */
  learn(
    hold: Hold,
    lock: LockNode,
    site: string,
    task: Task,
    maxEdges: number,
  ): OrderEdge[] | null {
    const from = hold.lock.name;
    const to = lock.name;
    if (from === to) return null;
    const row = this.#pairs.get(from);
    let pair = row?.get(to);
    if (pair?.isSettled) return null;
    if (pair === undefined) {
      if (this.size >= maxEdges) return null;
      pair = { to, seen: [], isSettled: false };
      if (row === undefined) this.#pairs.set(from, new Map([[to, pair]]));
      else row.set(to, pair);
      this.size += 1;
    }
    const gates = this.#gatesOf(hold, lock, task);
    const edge = { from, to, fromSite: hold.site, toSite: site, task: task.label };
    if (!isNew(pair, gates, edge)) return null;
    return this.#circle(edge, gates);
  }

  /** Ascending numbers of the locks that `task` holds exclusively since before `hold`. */
  #gatesOf(hold: Hold, lock: LockNode, task: Task): number[] {
    const gates: number[] = [];
    for (const outer of task.held) {
      if (outer === hold) break;
      if (outer.mode !== 'write' || outer.lock === hold.lock || outer.lock === lock) continue;
      let number = this.#numbers.get(outer.lock);
      if (number === undefined) {
        this.#locks += 1;
        number = this.#locks;
        this.#numbers.set(outer.lock, number);
      }
      gates.push(number);
    }
    return gates.sort((a, b) => a - b);
  }

  /** The shortest path back from `edge.to` to `edge.from` that other tasks can take at the same time. */
  #circle(edge: OrderEdge, gates: readonly number[]): OrderEdge[] | null {
    const steps: Step[] = [{ at: edge.to, gates, tasks: [edge.task], edge, before: null }];
    const known = new Set<string>();
    for (const step of steps) {
      for (const pair of this.#pairs.get(step.at)?.values() ?? []) {
        if (pair.to !== edge.from && hasBeenAt(step, pair.to)) continue;
        for (const seen of pair.seen) {
          if (seen.gates.some((gate) => step.gates.includes(gate))) continue;
          const gates = [...step.gates, ...seen.gates];
          for (const next of seen.edges) {
            const isOther = !step.tasks.includes(next.task);
            if (!isOther && seen.edges.length < MANY_TASKS) continue;
            const tasks = isOther ? [...step.tasks, next.task] : step.tasks;
            const found: Step = { at: pair.to, gates, tasks, edge: next, before: step };
            if (pair.to === edge.from) return [...walked(found), edge];
            const key = [pair.to, ...gates, ...tasks].join('\n');
            if (known.has(key) || steps.length >= MOST_STEPS) continue;
            known.add(key);
            steps.push(found);
          }
        }
      }
    }
    return null;
  }
}

/** Stores the observation; returns false if it adds nothing. */
function isNew(pair: Pair, gates: readonly number[], edge: OrderEdge): boolean {
  const seen = pair.seen.find((each) => each.gates.join() === gates.join());
  if (seen === undefined) {
    if (pair.seen.length >= MOST_SEEN) return false;
    pair.seen.push({ gates, edges: [edge] });
    return true;
  }
  if (seen.edges.length >= MANY_TASKS || seen.edges.some(({ task }) => task === edge.task)) {
    return false;
  }
  seen.edges.push(edge);
  pair.isSettled = gates.length === 0 && seen.edges.length === MANY_TASKS;
  return true;
}

function hasBeenAt(step: Step, name: string): boolean {
  for (let each: Step | null = step; each !== null; each = each.before) {
    if (each.at === name || each.edge.from === name) return true;
  }
  return false;
}

/** The edges after the first one, in order. */
function walked(last: Step): OrderEdge[] {
  const edges: OrderEdge[] = [];
  for (let step = last; step.before !== null; step = step.before) edges.push(step.edge);
  return edges.reverse();
}
