/**
 * Owns: in which order classes of locks are taken, and whether a new observation closes a circle that
 * tasks could deadlock in. By class, so that one observation covers every room; two locks of one class
 * are not a pair. A circle is told only if each pair of it was taken by another task, and if no
 * two of these had held the same lock exclusively since before: one task alone, or tasks that a common
 * gate keeps apart, cannot deadlock.
 *
 * Bounded: at `maxEdges` pairs it learns no more, and of a pair it keeps `MOST_SEEN` ways it was taken.
 */
import type { Hold, LockNode, Task } from './nodes.js';

/** `task` held `from`, taken at `fromSite`, when it asked for `to` at `toSite`. */
export interface OrderEdge {
  readonly from: string;
  readonly to: string;
  readonly fromSite: string;
  readonly toSite: string;
  readonly task: string;
}

/** Gates are numbers of the locks held exclusively since before `from` was taken. */
interface Seen {
  readonly gates: readonly number[];
  /** One for each task, of `MANY_TASKS` at most; so many stand for any number. */
  readonly edges: OrderEdge[];
}

interface Pair {
  readonly to: string;
  readonly seen: Seen[];
  /** Many tasks have been seen without a gate: there is no more to learn. */
  isSettled: boolean;
}

/** A walk from the new edge on: where it is, the gates it was behind, and who has walked it. */
interface Step {
  readonly at: string;
  readonly gates: readonly number[];
  readonly tasks: readonly string[];
  readonly edge: OrderEdge;
  readonly before: Step | null;
}

const MOST_SEEN = 8;
const MANY_TASKS = 4;
/** Steps of one search; classes are few, so that a program that needs more has other troubles. */
const MOST_STEPS = 10_000;

export class LockOrder {
  size = 0;
  readonly #pairs = new Map<string, Map<string, Pair>>();
  readonly #numbers = new WeakMap<LockNode, number>();
  #locks = 0;

  /** Learns that `hold.lock` came before `lock`; returns the circle this closes, the new pair last. */
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

  /** Numbers, rising, of what keeps others out of all that `hold` and the wait for `lock` are part of. */
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

  /** The shortest way back from `edge.to` to `edge.from` that others can be on at the same time. */
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

/** Keeps what was seen, unless it says nothing that is not known. */
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

/** The edges behind the first one, in order. */
function walked(last: Step): OrderEdge[] {
  const edges: OrderEdge[] = [];
  for (let step = last; step.before !== null; step = step.before) edges.push(step.edge);
  return edges.reverse();
}
