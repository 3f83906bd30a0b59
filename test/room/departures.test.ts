/**
 * Members that disconnect together: removed from their rooms in slices, and no longer counted meanwhile.
 */
import { beforeEach, expect, test, vi } from 'vitest';
import { Room } from '../../src/room/room.js';
import type { Core } from '../support/core.js';
import type { Peer } from '../support/peer.js';
import { startCore, type Virtual } from '../support/virtual.js';

const SLICE_MS = 5;
const ROOMS = 40;
let world: Virtual;
let core: Core;
/** Counts subscriptions removed from room lists; each removal takes a millisecond. */
let removed: number;

beforeEach(() => {
  world = startCore();
  ({ core } = world);
  removed = 0;
  const { remove } = Room.prototype;
  vi.spyOn(Room.prototype, 'remove').mockImplementation(function (this: Room, subscription) {
    remove.call(this, subscription);
    removed += 1;
    world.loop.spend(1);
  });
});

/** Peers, each in a room of its own and in a shared one. */
async function join(count: number): Promise<Peer[]> {
  const peers = Array.from({ length: count }, () => core.connect());
  for (const [i, peer] of peers.entries()) {
    peer.say({ type: 'join', room: 'all' });
    for (let room = 1; room < ROOMS; room += 1)
      peer.say({ type: 'join', room: `own:${i}:${room}` });
  }
  await world.settle();
  return peers;
}

test('an event loop turn removes one slice of them, however many disconnect in it', async () => {
  const peers = await join(5);
  for (const { member } of peers) core.hub.memberships.remove(member);
  expect(removed).toBe(SLICE_MS);
  let turns = 0;
  for (; removed < 5 * ROOMS; turns += 1) {
    const before = removed;
    world.loop.turn();
    expect(removed - before).toBeLessThanOrEqual(SLICE_MS);
  }
  await world.settle();
  expect(turns).toBeGreaterThanOrEqual((5 * ROOMS) / SLICE_MS - 1);
  expect(core.hub.rooms.size).toBe(0);
  core.checkEmpty();
});

test('they are not counted, are offered nothing and hold nothing, from the first moment', async () => {
  const [stays, ...others] = await join(5);
  for (const { member } of others) core.hub.memberships.remove(member);
  const room = core.hub.rooms.get('all');
  expect([room?.size, core.hub.members.size]).toEqual([1, 1]);
  core.connect().say({ type: 'join', room: 'all' });
  expect(room?.size).toBe(2);
  void core.hub.publish(stays!.member, 'all', '1');
  await world.settle();
  expect(core.observer.totals.fannedOut).toBe(2);
  expect(room?.size).toBe(2);
  core.check();
});

test('a room whose only member has gone can be joined again before it is closed', async () => {
  const [peer] = await join(1);
  core.hub.memberships.remove(peer!.member);
  const other = core.connect();
  const last = `own:0:${ROOMS - 1}`;
  expect((await core.hub.memberships.join(other.member, last)).members).toBe(1);
  await world.settle();
  expect([...core.hub.rooms.keys()]).toEqual([last]);
  expect(core.hub.rooms.get(last)?.size).toBe(1);
});

test('shutdown waits for them', async () => {
  const [peer] = await join(1);
  core.hub.memberships.remove(peer!.member);
  let left: readonly string[] | null = null;
  void core.hub.close(1000).then((waiting) => {
    left = waiting;
  });
  await vi.advanceTimersByTimeAsync(1);
  expect(left).toBe(null);
  await world.settle();
  expect([removed, left]).toEqual([ROOMS, []]);
});
