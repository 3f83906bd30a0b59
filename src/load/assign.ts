/**
 * Assigns members to cohorts, rooms and workers. Every worker derives the same assignment from the plan
 * alone. Not here: how members then behave (member.ts).
 */
import type { Plan } from './plan.js';

/** A small seeded generator (mulberry32): uniform numbers in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The cohort (index into `plan.cohorts`) of each member: shares dealt in a seeded shuffle. */
export function cohortOfMembers(plan: Plan): Uint8Array {
  const cohorts = new Uint8Array(plan.members);
  let at = 0;
  plan.cohorts.forEach((cohort, index) => {
    cohorts.fill(index, at, at + cohort.members);
    at += cohort.members;
  });
  const random = randomOf(plan.seed);
  for (let i = plan.members - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const held = cohorts[i]!;
    cohorts[i] = cohorts[j]!;
    cohorts[j] = held;
  }
  return cohorts;
}

/** The first room of a member; it is in `roomsPerMember` rooms from there, round robin. */
export function firstRoomOf(plan: Plan, member: number): number {
  return member % plan.rooms;
}

/** A room's place among a member's rooms, or -1 when the member is not in it or there is no such room. */
export function roomSlotOf(plan: Plan, member: number, room: number): number {
  if (room < 0 || room >= plan.rooms) return -1;
  const slot = (room - firstRoomOf(plan, member) + plan.rooms) % plan.rooms;
  return slot < plan.roomsPerMember ? slot : -1;
}

/**
 * The worker that runs a member. Rooms with enough members are spread over all workers; smaller
 * ones stay with one, the worker of their publishers, which needs local members for a closed loop.
 */
export function workerOfMember(plan: Plan, member: number): number {
  const spread = plan.members / plan.rooms >= plan.workers;
  const round = spread ? Math.floor(member / plan.rooms) : 0;
  return (firstRoomOf(plan, member) + round) % plan.workers;
}

export function workerOfRoom(plan: Plan, room: number): number {
  return room % plan.workers;
}

/**
 * Rooms that have no healthy member at their publishers' worker. A closed loop needs one: it sends as
 * healthy members receive.
 */
export function unreadRooms(plan: Plan): number[] {
  const cohorts = cohortOfMembers(plan);
  const read = new Set<number>();
  for (let member = 0; member < plan.members; member++) {
    if (cohorts[member] !== 0) continue;
    const worker = workerOfMember(plan, member);
    for (let slot = 0; slot < plan.roomsPerMember; slot++) {
      const room = (firstRoomOf(plan, member) + slot) % plan.rooms;
      if (workerOfRoom(plan, room) === worker) read.add(room);
    }
  }
  return Array.from({ length: plan.rooms }, (_, room) => room).filter((room) => !read.has(room));
}

/** Publisher numbers of a room: `room × publishersPerRoom` and up. */
export function roomOfPublisher(plan: Plan, publisher: number): number {
  return Math.floor(publisher / plan.publishersPerRoom);
}
