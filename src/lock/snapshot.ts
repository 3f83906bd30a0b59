/**
 * Owns: the snapshot of the locks held and waited for, as plain JSON of bounded size.
 */

import { nowMs } from '../time.js';
import type { List } from './list.js';
import type { LockNode, Resource, Wait } from './nodes.js';
import type { HeldLock, LockSnapshot, PendingWait } from './types.js';

/** `limit`: the maximum entries of each list; the oldest are kept. */
export function picture(
  locks: List<LockNode>,
  waits: ReadonlySet<Wait>,
  limit: number,
): Pick<LockSnapshot, 'held' | 'pending' | 'edges' | 'leftOut'> {
  const now = nowMs();
  const names = new Names();
  const held: HeldLock[] = [];
  for (let lock = locks.first; lock !== null; lock = lock.next) {
    for (let hold = lock.holders.first; hold !== null; hold = hold.next) {
      const { mode, site, task, since } = hold;
      const ageMs = since === null ? 0 : now - since;
      held.push({ lock: lock.label, mode, site, task: task?.label ?? null, ageMs });
    }
  }
  held.sort((a, b) => b.ageMs - a.ageMs);
  const pending: PendingWait[] = [];
  const edges: LockSnapshot['edges'][number][] = [];
  const seen = new Set<Resource>();
  for (const { on, mode, site, task, since, timeoutMs, label } of waits) {
    pending.push({
      on: on.label,
      mode,
      site,
      task: task?.label ?? null,
      ageMs: now - since,
      timeoutMs,
    });
    const to = names.of(on, on.label);
    edges.push({ from: label, to });
    if (seen.has(on)) continue;
    seen.add(on);
    for (const owner of owners(on)) edges.push({ from: to, to: owner });
  }
  return {
    held: held.slice(0, limit),
    pending: pending.slice(0, limit),
    edges: edges.slice(0, limit),
    leftOut: {
      held: Math.max(held.length - limit, 0),
      pending: Math.max(pending.length - limit, 0),
      edges: Math.max(edges.length - limit, 0),
    },
  };
}

function* owners(on: Resource): Generator<string> {
  if (on.kind === 'external') yield on.owner?.label ?? 'external';
  else if (on.kind === 'waitgroup') {
    for (const { name, task } of on.members) yield task?.label ?? name;
  } else {
    for (let hold = on.holders.first; hold !== null; hold = hold.next) yield hold.label;
  }
}

/** Two locks of one class get two names: the second is `lock:room(2)`. */
class Names {
  readonly #byResource = new Map<Resource, string>();
  readonly #uses = new Map<string, number>();

  of(on: Resource, label: string): string {
    const known = this.#byResource.get(on);
    if (known !== undefined) return known;
    const uses = (this.#uses.get(label) ?? 0) + 1;
    this.#uses.set(label, uses);
    const name = uses === 1 ? label : `${label}(${uses})`;
    this.#byResource.set(on, name);
    return name;
  }
}
