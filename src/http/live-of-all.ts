/**
 * Merges the live data of several workers. Counts are added up. Of times the worst is taken, since
 * quantiles cannot be added.
 *
 * Not here: the stream (`live.ts`), the numbers of one worker (`sampler.ts`).
 */
import type { MemberLine, RoomLine, Second, Series, Values, WorkerLine } from '../page/frame.js';
import { mergeRooms } from './rooms.js';
import type { Sample } from './sampler.js';
import { top } from './top.js';

/** Maximum number of entries in each list. */
export const MEMBERS = 20;
export const ROOMS = 10;

const WORST = /^(healthyP50|healthyP99|slowP99|loopP99|loopMax|hold .*|wait .*)$/;

/** Merges samples of about the same second. */
function valuesOfAll(series: readonly Series[], all: readonly Values[]): Values {
  return series.map((name, i) => {
    const known = all.map((values) => values[i]).filter((value) => typeof value === 'number');
    if (known.length === 0) return null;
    return WORST.test(name) ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0);
  });
}

/** Merges the workers' histories, aligned by distance from the latest sample. */
export function pastOfAll(
  series: readonly Series[],
  own: readonly Sample[],
  others: readonly (readonly Sample[])[],
): Sample[] {
  return own.map(({ at, values }, i) => {
    const back = own.length - i;
    const same = others.flatMap((past) => past.at(-back) ?? []);
    return { at, values: valuesOfAll(series, [values, ...same.map((one) => one.values)]) };
  });
}

/** `missing`: slots of the workers that did not answer. */
export function secondOfAll(
  series: readonly Series[],
  all: readonly Second[],
  missing: readonly number[],
): Second {
  const total = (of: 'members' | 'rooms') => all.reduce((sum, each) => sum + each[of].total, 0);
  const members = all.flatMap((each): readonly MemberLine[] => each.members.list);
  const rooms = mergeRooms(all.flatMap((each): readonly RoomLine[] => each.rooms.list));
  return {
    at: (all[0] as Second).at,
    broker: all.find(({ broker }) => broker !== 'up')?.broker ?? 'up',
    values: valuesOfAll(
      series,
      all.map(({ values }) => values),
    ),
    members: { total: total('members'), list: top(members, ({ lagMs }) => lagMs, MEMBERS) },
    rooms: { total: total('rooms'), list: top(rooms, (room) => room.members, ROOMS) },
    workers: [...all.flatMap(({ workers }) => workers), ...missing.map(missed)].sort(
      (a, b) => a.slot - b.slot,
    ),
    servers: (all[0] as Second).servers,
  };
}

const missed = (slot: number): WorkerLine => ({
  slot,
  pid: null,
  members: null,
  rooms: null,
  broker: null,
});
