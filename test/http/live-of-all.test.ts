/** The live data of several workers: a line per worker, including missing ones. */
import { expect, test } from 'vitest';
import { secondOfAll } from '../../src/http/live-of-all.js';
import type { Second } from '../../src/page/frame.js';

const second = (slot: number, broker: Second['broker'], members: number): Second => ({
  ...{ at: 1000, broker, values: [members] },
  members: { total: members, list: [] },
  rooms: { total: 2, list: [] },
  workers: [{ slot, pid: 100 + slot, members, rooms: 2, broker }],
  servers: [],
});

test('lists each worker by slot, including missing ones', () => {
  const all = secondOfAll(['members'], [second(2, 'up', 5), second(0, 'suspended', 3)], [1]);
  expect(all.workers).toEqual([
    { slot: 0, pid: 100, members: 3, rooms: 2, broker: 'suspended' },
    { slot: 1, pid: null, members: null, rooms: null, broker: null },
    { slot: 2, pid: 102, members: 5, rooms: 2, broker: 'up' },
  ]);
  expect(all).toMatchObject({ broker: 'suspended', values: [8], members: { total: 8 } });
});
