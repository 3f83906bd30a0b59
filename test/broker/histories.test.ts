import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Publication } from '../../src/broker/broker.js';
import { Histories } from '../../src/broker/histories.js';
import type { History } from '../../src/broker/history.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const policy = { historyMessages: 1000, historyBytes: 5000, historyMs: 60_000 };
const everything = { from: 1, to: 1e6, maxMessages: 1e6, maxBytes: 1e9 };

/** Rooms with histories, each with its own numbers. */
class Rooms {
  readonly histories: Histories;
  readonly rooms: History[];
  readonly #seqs: number[];

  constructor(
    count: number,
    limit: number,
    policies = Array.from({ length: count }, () => policy),
  ) {
    this.histories = new Histories(limit);
    this.rooms = policies.map((each) => this.histories.open(each) as History);
    this.#seqs = policies.map(() => 0);
  }

  publish(room: number, data = '1'): void {
    const seq = (this.#seqs[room] as number) + 1;
    this.#seqs[room] = seq;
    const publication: Publication = { room: `${room}`, seq, epoch: 'e', at: 0, data, from: null };
    this.histories.append(this.rooms[room] as History, publication);
  }

  lengths(): number[] {
    return this.rooms.map(({ length }) => length);
  }
}

describe('Histories', () => {
  it('opens no history if the policy keeps none', () => {
    expect(new Histories(1e6).open({ ...policy, historyMessages: 0 })).toBeNull();
  });

  it('evicts the least recently published room when over the total limit', () => {
    const world = new Rooms(3, 6000);
    for (const room of [0, 1, 2]) for (let n = 0; n < 5; n += 1) world.publish(room);
    expect(world.lengths()).toEqual([5, 5, 5]);
    world.publish(0);
    for (let n = 0; n < 10; n += 1) world.publish(2);
    // Room 1 is the least recently published one, although room 0 is older.
    expect(world.lengths()).toEqual([6, 0, 15]);
    expect(world.histories.kept.evicted).toMatchObject({ total: 5 });
    // Its numbers continue.
    expect(world.rooms[1]?.oldest).toBe(6);
    world.publish(1);
    expect(world.rooms[1]?.read(everything).map(({ seq }) => seq)).toEqual([6]);
  });

  it('stays within the total limit after every publish, and evicts no more than necessary (V18)', () => {
    const data = fc.constantFrom('1', 'x'.repeat(500), '漢'.repeat(400));
    const steps = fc.array(fc.record({ room: fc.nat(5), data }), { maxLength: 150 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 5000, max: 15_000 }), (all, limit) => {
        const world = new Rooms(6, limit);
        const { histories, rooms } = world;
        const order: number[] = [];
        for (const { room, data } of all) {
          const before = rooms.map((each) => ({ bytes: each.bytes, length: each.length }));
          world.publish(room, data);
          if (order.includes(room)) order.splice(order.indexOf(room), 1);
          order.push(room);
          const held = rooms.reduce((sum, each) => sum + each.bytes, 0);
          expect(histories.kept.bytes).toBe(held);
          expect(histories.kept.messages).toBe(world.lengths().reduce((a, b) => a + b));
          expect(held).toBeLessThanOrEqual(limit);
          const lost = order.filter(
            (each) => each !== room && rooms[each]!.length < before[each]!.length,
          );
          for (const each of lost) expect(rooms[each]?.length).toBe(0);
          // The least recently published rooms went, and without evicting the last of them the total
          // would exceed the limit.
          const had = order.filter((each) => each !== room && before[each]!.length > 0);
          expect(lost).toEqual(had.slice(0, lost.length));
          if (lost.length > 0) expect(held + before[lost.at(-1)!]!.bytes).toBeGreaterThan(limit);
        }
        histories.close();
      }),
    );
  });

  it('expires entries of quiet rooms within twice their age', () => {
    const short = { ...policy, historyMs: 10_000 };
    const world = new Rooms(3, 1e6, [short, policy, short]);
    world.publish(0);
    world.publish(1);
    vi.advanceTimersByTime(9000);
    world.publish(2);
    world.publish(0);
    expect(world.lengths()).toEqual([2, 1, 1]);
    vi.advanceTimersByTime(11_000);
    // The first entry of room 0 expires at its next publish or at the next sweep.
    vi.advanceTimersByTime(5000);
    expect(world.lengths()).toEqual([0, 1, 0]);
    vi.advanceTimersByTime(40_000);
    expect(world.lengths()).toEqual([0, 0, 0]);
    expect(world.histories.kept).toMatchObject({ messages: 0, bytes: 0, evicted: { age: 4 } });
  });

  it('runs a timer only while some history is kept (V8)', () => {
    const world = new Rooms(1, 1e6);
    expect(vi.getTimerCount()).toBe(0);
    world.publish(0);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(70_000);
    expect(vi.getTimerCount()).toBe(0);
    world.publish(0);
    expect(vi.getTimerCount()).toBe(1);
    world.histories.evict(world.rooms[0] as History, 'purge');
    expect(vi.getTimerCount()).toBe(0);
    world.publish(0);
    world.histories.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
