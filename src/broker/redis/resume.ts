/**
 * Order and pace of resuming rooms over a new link: rooms with most members first, limited to
 * `roomsPerSecond`, so that Redis and this node keep capacity for live traffic. It yields the loop
 * between any two parts.
 *
 * Not here: how a room is resumed (`subscriptions.ts`).
 */
import { sleep } from '../../sleep.js';
import { nowMs } from '../../time.js';

/** Most rooms in one part; fewer if that many would exceed the rate over `PART_MS`. */
const ROOMS_A_PART = 512;
const PART_MS = 100;
const PARTS_AT_ONCE = 2;
/** Rooms whose size is read in one turn of the loop. */
const SIZES_A_TURN = 4096;

export interface Pace {
  /** Number of this node's members in a room. */
  sizeOf(room: string): number;
  readonly roomsPerSecond: number;
}

/** Resolves when all parts are done or the signal aborts. Rejects as soon as `work` does. */
export async function inParts<T extends { readonly room: string }>(
  all: Iterable<T>,
  { sizeOf, roomsPerSecond }: Pace,
  signal: AbortSignal,
  work: (part: readonly T[]) => Promise<void>,
): Promise<void> {
  const rooms = await largestFirst(all, sizeOf, signal);
  const most = Math.min(ROOMS_A_PART, Math.ceil((roomsPerSecond * PART_MS) / 1000));
  const began = nowMs();
  let next = 0;
  const parts = async () => {
    while (next < rooms.length) {
      const early = began + (next / roomsPerSecond) * 1000 - nowMs();
      const part = rooms.slice(next, next + most);
      next += part.length;
      if (early > 0) await sleep(early, signal);
      if (signal.aborted) return;
      await work(part);
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, parts));
}

/**
 * Sorts by size classes, powers of two: sorting a hundred thousand rooms exactly would block the loop.
 */
async function largestFirst<T extends { readonly room: string }>(
  all: Iterable<T>,
  sizeOf: (room: string) => number,
  signal: AbortSignal,
): Promise<T[]> {
  const classes: T[][] = [];
  let seen = 0;
  for (const each of all) {
    const digits = 32 - Math.clz32(sizeOf(each.room));
    let same = classes[digits];
    if (same === undefined) {
      same = [];
      classes[digits] = same;
    }
    same.push(each);
    seen += 1;
    if (seen % SIZES_A_TURN === 0) await sleep(0, signal);
  }
  return classes.reverse().flat();
}
