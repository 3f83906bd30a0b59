/**
 * What happens in several workers, as the live page has it for one: amounts are summed, and of what is a
 * time the worst is told, since quantiles of several cannot be added up.
 *
 * Not here: the stream (`live.ts`), the numbers of one (`sampler.ts`).
 */
import type { MemberLine, RoomLine, Second, Series, Values, WorkerLine } from '../page/frame.js';
import { mergeRooms } from './rooms.js';
import type { Sample } from './sampler.js';
import { top } from './top.js';

/** How many a list has. */
export const MEMBERS = 20;
export const ROOMS = 10;

const WORST = /^(healthyP50|healthyP99|slowP99|loopP99|loopMax|hold .*|wait .*)$/;

/** Of the same second in each, or nearly so. */
function valuesOfAll(series: readonly Series[], all: readonly Values[]): Values {
  return series.map((name, i) => {
    const known = all.map((values) => values[i]).filter((value) => typeof value === 'number');
    if (known.length === 0) return null;
    return WORST.test(name) ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0);
  });
}

/** What each remembers; the second before the latest of one is that of the others. */
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

/** `missing`: slots of which there is no answer. */
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
