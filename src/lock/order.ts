/**
 * Owns: in which order classes of locks are taken by one task, and whether a new pair closes a circle.
 * By class, so that one observation covers every room; two locks of one class are not a pair. Bounded:
 * at `maxEdges` it learns no more.
 */
import type { Hold, LockNode, Task } from './nodes.js';

/** First seen: `task` held `from`, taken at `fromSite`, when it asked for `to` at `toSite`. */
export interface OrderEdge {
  readonly from: string;
  readonly to: string;
  readonly fromSite: string;
  readonly toSite: string;
  readonly task: string;
}

export class LockOrder {
  size = 0;
  readonly #edges = new Map<string, Map<string, OrderEdge>>();

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
    let row = this.#edges.get(from);
    if (row?.has(to) || this.size >= maxEdges) return null;
    const edge = { from, to, fromSite: hold.site, toSite: site, task: task.label };
    const before = this.#path(to, from);
    if (row === undefined) {
      row = new Map();
      this.#edges.set(from, row);
    }
    row.set(to, edge);
    this.size += 1;
    return before === null ? null : [...before, edge];
  }

  /** The pairs that lead from one class to the other, fewest first. */
  #path(from: string, to: string): OrderEdge[] | null {
    const reachedBy = new Map<string, OrderEdge | null>([[from, null]]);
    for (const name of reachedBy.keys()) {
      if (name === to) break;
      for (const edge of this.#edges.get(name)?.values() ?? []) {
        if (!reachedBy.has(edge.to)) reachedBy.set(edge.to, edge);
      }
    }
    const path: OrderEdge[] = [];
    let edge = reachedBy.get(to);
    if (edge === undefined) return null;
    while (edge) {
      path.push(edge);
      edge = reachedBy.get(edge.from);
    }
    return path.reverse();
  }
}
