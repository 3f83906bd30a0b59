/** Scheduling of input, with a clock that only advances as the test says. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  BURST_MS,
  LIGHT_MS,
  PATIENCE_MS,
  QUANTUM_MS,
  type Share,
  TURN_MS,
  Turns,
  type Work,
} from '../src/turns.js';
import { Loop } from './support/loop.js';
import { freezeClocks } from './support/virtual.js';

let loop: Loop;
let turns: Turns;
beforeEach(() => {
  freezeClocks();
  loop = new Loop();
  turns = new Turns();
});
afterEach(() => {
  loop.restore();
  vi.useRealTimers();
});

/** A peer that sends items; each item is the number of milliseconds that it takes. */
class Peer implements Work {
  waitingBytes = 0;
  readonly share: Share = turns.share(this);
  readonly sent: number[] = [];
  readonly done: number[] = [];
  readonly told: string[] = [];
  /** Called for each item when it is done. */
  onItem: (ms: number) => void = () => {};
  #next = 0;

  send(...items: number[]): this {
    this.sent.push(...items);
    this.share.run();
    return this;
  }

  get left(): number {
    return this.sent.length - this.#next;
  }

  step(): boolean {
    const ms = this.sent[this.#next];
    if (ms === undefined) return false;
    this.#next += 1;
    loop.spend(ms);
    this.done.push(ms);
    this.onItem(ms);
    return this.left > 0;
  }

  held(): void {
    this.told.push('held');
  }

  released(): void {
    this.told.push('released');
  }

  starved(): void {
    this.told.push('starved');
  }

  failed(): void {
    this.told.push('failed');
  }
}

const times = (count: number, ms: number) => Array<number>(count).fill(ms);

/** A peer that has twice used up the burst of a light peer, long enough ago for the turn to be over. */
function heavy(): Peer {
  const peer = new Peer().send(...times(2 * BURST_MS, 1));
  loop.run();
  peer.done.length = 0;
  peer.told.length = 0;
  return peer;
}

describe('a single peer', () => {
  test('is served on arrival, without waiting for a turn', () => {
    const peer = new Peer().send(...times(5, 0.1));
    expect([peer.left, peer.told, loop.isIdle]).toEqual([0, [], true]);
  });

  test('gets the whole turn even if it is heavy, and continues in the next', () => {
    const peer = heavy();
    peer.send(...times(12, 1));
    expect([peer.left, peer.told]).toEqual([12 - TURN_MS, ['held']]);
    loop.turn();
    expect(peer.left).toBe(12 - 2 * TURN_MS);
    loop.run();
    expect([peer.left, peer.told]).toEqual([0, ['held', 'released']]);
  });

  test('is held once, whatever else it sends, and keeps its order', () => {
    const peer = heavy();
    peer.send(6, 1).send(2).send(3);
    expect(peer.done).toEqual([6]);
    loop.run();
    expect(peer.done).toEqual([6, 1, 2, 3]);
    expect(peer.told).toEqual(['held', 'released']);
  });

  test('is light again after a quiet time', () => {
    const [peer, other] = [heavy(), heavy()];
    other.send(...times(20, 1));
    loop.spend(1000);
    peer.send(0.5);
    expect(peer.left).toBe(0);
  });
});

describe('several peers', () => {
  test('a light peer is served at once while heavy ones wait', () => {
    const flood = heavy().send(...times(100, 1));
    const light = new Peer().send(0.1);
    expect(flood.told).toEqual(['held']);
    expect([light.left, light.told]).toEqual([0, []]);
  });

  test('a heavy peer queues behind those already waiting, round-robin', () => {
    const order: string[] = [];
    const names = ['a', 'b', 'c'];
    const peers = names.map((name) => {
      const peer = heavy();
      peer.onItem = () => order.push(name);
      return peer;
    });
    loop.run();
    for (const peer of peers) peer.send(...times(8, QUANTUM_MS));
    const first = 'a'.repeat(TURN_MS / QUANTUM_MS);
    expect(order.join('')).toBe(first);
    loop.run();
    const rest = 8 - first.length;
    expect(order.join('')).toBe(`${first}${'abc'.repeat(rest)}${'bc'.repeat(8 - rest)}`);
  });

  test('many new peers that send much use no more than the light budget of a turn', () => {
    const peers = Array.from({ length: 100 }, () => new Peer().send(...times(10, 1)));
    const done = () => peers.reduce((sum, peer) => sum + peer.done.length, 0);
    expect(done()).toBe(LIGHT_MS);
    loop.turn();
    expect(done()).toBe(2 * LIGHT_MS);
  });

  test('a peer that sends little goes before a crowd that has only begun to flood', () => {
    const order: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      new Peer().send(...times(10, 1)).onItem = () => order.push('flood');
    }
    const quiet = new Peer();
    quiet.onItem = () => order.push('quiet');
    quiet.send(0.1);
    expect(quiet.told).toEqual(['held']);
    loop.turn();
    // Peers of the crowd that have not been served yet have waited longer.
    expect(order.indexOf('quiet')).toBeLessThan(LIGHT_MS);
  });

  test('a peer that sends little goes before a crowd that sends its first large message', () => {
    const order: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      const crowd = new Peer();
      crowd.waitingBytes = 64 * 1024;
      crowd.onItem = () => order.push('large');
      crowd.send(2);
    }
    const begun = order.length;
    const quiet = new Peer();
    quiet.waitingBytes = 100;
    quiet.onItem = () => order.push('quiet');
    quiet.send(0.1);
    loop.turn();
    expect(order.indexOf('quiet')).toBe(begun);
  });

  test('waiting bytes alone make no peer heavy', () => {
    const large = new Peer();
    large.waitingBytes = 10 * 1024 * 1024;
    heavy().send(...times(10, 1));
    large.send(0.1);
    expect([large.left, large.told]).toEqual([0, []]);
  });

  test('an item delayed by the compiler or another process does not make its peer heavy', () => {
    const peer = new Peer().send(50);
    loop.run();
    peer.send(0.1);
    const crowd = Array.from({ length: 20 }, () => heavy());
    for (const each of crowd) each.send(...times(10, 1));
    peer.send(0.1);
    expect([peer.left, peer.told]).toEqual([0, []]);
  });

  test('a peer that waits too long is notified, and its share ends', () => {
    const item = 50;
    const peers = Array.from({ length: 200 }, () => new Peer().send(...times(3, item)));
    const [first, last] = [peers[0] as Peer, peers.at(-1) as Peer];
    let turned = 0;
    for (; !last.told.includes('starved'); turned += 1) loop.turn();
    expect(turned * item).toBeGreaterThanOrEqual(PATIENCE_MS);
    expect(turned * item).toBeLessThan(PATIENCE_MS + 3 * item);
    expect([last.share.hasEnded, last.done]).toEqual([true, []]);
    expect([first.told, first.done]).toEqual([['held', 'starved'], [item]]);
  });

  test('time in which the process was blocked does not count as waiting', () => {
    const [first, second] = [heavy(), heavy()];
    first.send(...times(20, TURN_MS));
    second.send(...times(20, TURN_MS));
    loop.turn();
    loop.spend(10 * PATIENCE_MS);
    loop.run();
    expect([first.told, second.told]).toEqual([
      ['held', 'released'],
      ['held', 'released'],
    ]);
  });

  test('a share that is finished handles its items at once, and their time counts for the turn', () => {
    const peer = heavy().send(...times(3, TURN_MS));
    loop.turn();
    expect(peer.left).toBeGreaterThan(0);
    peer.share.finish();
    expect(peer.left).toBe(0);
    const other = new Peer().send(0.1);
    expect(other.left).toBe(1);
    loop.run();
    expect(other.left).toBe(0);
  });

  test('a share that is ended during its items, or while it waits, handles no more of them', () => {
    const [first, second] = [heavy(), heavy()];
    first.onItem = () => first.share.end();
    first.send(1, 1, 1);
    second.send(TURN_MS, 1, 1);
    second.share.end();
    loop.run();
    expect([first.done, second.done]).toEqual([[1], [TURN_MS]]);
    first.send(1);
    expect(first.left).toBe(3);
  });
});

test('for any input: order is kept, nothing is lost, a turn is bounded, no peer waits for ever', () => {
  const item = fc.double({ min: 0.01, max: 8, noNaN: true });
  const arrival = fc.record({
    peer: fc.nat(7),
    items: fc.array(item, { minLength: 1, maxLength: 20 }),
    /** Turns of the loop until the next arrival. */
    turns: fc.nat(2),
    ends: fc.nat(9).map((n) => n === 0),
  });
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 60 }), (arrivals) => {
      loop.run();
      turns = new Turns();
      const peers = Array.from({ length: 8 }, () => new Peer());
      let spent = 0;
      let longest = 0;
      for (const peer of peers) {
        peer.onItem = (ms) => {
          // No item may start after the budget of the turn is spent.
          expect(spent).toBeLessThan(LIGHT_MS + QUANTUM_MS);
          spent += ms;
          longest = Math.max(longest, ms);
        };
      }
      const turn = () => {
        spent = 0;
        loop.turn();
      };
      for (const { peer, items, turns: count, ends } of arrivals) {
        const each = peers[peer] as Peer;
        each.send(...items);
        if (ends) each.share.end();
        for (let i = 0; i < count; i += 1) turn();
        expect(spent).toBeLessThan(LIGHT_MS + QUANTUM_MS + longest);
      }
      let rounds = 0;
      for (; !loop.isIdle; rounds += 1) turn();
      expect(rounds).toBeLessThanOrEqual(arrivals.length * 20 * 8);
      for (const { share, sent, done, told, left } of peers) {
        expect(sent.slice(0, done.length)).toEqual(done);
        if (!share.hasEnded) expect([left, told.at(-1) ?? 'released']).toEqual([0, 'released']);
      }
    }),
  );
});
