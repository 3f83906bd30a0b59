/**
 * Keeps the workers' counters in the primary, so that they survive a worker's death: the latest values
 * of each worker, and the sum of all that have ended. V10: what a worker had queued when it ended
 * counts as abandoned.
 *
 * A worker reports its values here before it shows them to anyone, so that a sum never falls below one
 * shown before.
 */
import { pack, remains, unpack } from '../metrics/packed.js';
import { type AllValues, KEYS, together } from '../metrics/values.js';
import type { Gathered } from '../metrics/workers.js';
import { clearTimeout, setTimeout } from '../time.js';
import type { Packed } from './messages.js';

/** How long a scrape waits for a worker, in milliseconds. */
const LATE_MS = 250;

interface Gathering {
  /** Incarnations whose values are still missing. */
  readonly awaited: Set<number>;
  readonly done: (gathered: Gathered) => void;
  readonly timer: NodeJS.Timeout;
}

export class Ledger {
  restarts = 0;
  /** By incarnation, oldest first. */
  readonly #latest = new Map<number, { readonly slot: number; values: Packed | null }>();
  #left: AllValues | null = null;
  readonly #gatherings = new Set<Gathering>();

  /** A worker was started. */
  begin(incarnation: number, slot: number): void {
    this.#latest.set(incarnation, { slot, values: null });
  }

  /** Stores a worker's current values. */
  note(incarnation: number, values: Packed): void {
    const entry = this.#latest.get(incarnation);
    if (entry !== undefined) entry.values = values;
    this.#heard(incarnation);
  }

  /** A worker has ended: its values are added to the sum of ended workers. */
  end(incarnation: number): void {
    const values = this.#latest.get(incarnation)?.values;
    this.#latest.delete(incarnation);
    if (values) this.#keep(remains(unpack(values)));
    this.#heard(incarnation);
  }

  /** Calls `done` once these incarnations have reported current values, or `LATE_MS` have passed. */
  gather(incarnations: readonly number[], done: (gathered: Gathered) => void): void {
    const gathering: Gathering = {
      awaited: new Set(incarnations),
      done,
      timer: setTimeout(() => this.#end(gathering), LATE_MS),
    };
    this.#gatherings.add(gathering);
    if (incarnations.length === 0) this.#end(gathering);
  }

  #keep(last: AllValues): void {
    const before = this.#left;
    this.#left =
      before === null
        ? last
        : (Object.fromEntries(
            KEYS.map((key) => [key, together(key, [before[key], last[key]])]),
          ) as AllValues);
  }

  #heard(incarnation: number): void {
    for (const gathering of this.#gatherings) {
      if (!gathering.awaited.delete(incarnation)) continue;
      if (gathering.awaited.size === 0) this.#end(gathering);
    }
  }

  #end(gathering: Gathering): void {
    clearTimeout(gathering.timer);
    if (!this.#gatherings.delete(gathering)) return;
    const all = [...this.#latest];
    gathering.done({
      workers: all.flatMap(([, { slot, values }]) => (values === null ? [] : [{ slot, values }])),
      stale: all.flatMap(([incarnation, { slot }]) =>
        gathering.awaited.has(incarnation) ? [slot] : [],
      ),
      left: this.#left === null ? null : pack(this.#left),
      restarts: this.restarts,
    });
  }
}
