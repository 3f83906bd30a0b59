/**
 * The fan-out loop on a clock that only advances with writes: a large room yields in slices, and other
 * rooms do not wait for it.
 */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Detector } from '../../src/lock/index.js';
import { LoopClock } from '../../src/loop-clock.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { defaults } from '../../src/options/config.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { FanOut } from '../../src/room/fan-out.js';
import { Hub } from '../../src/room/hub.js';
import { Member } from '../../src/room/member.js';
import { onSurvived } from '../../src/survived.js';
import type { Transport } from '../../src/transport/transport.js';
import { plainFraming } from '../../src/transport/websocket-frame.js';
import { framesIn } from '../support/fake-transport.js';
import { Loop } from '../support/loop.js';
import { PlannedError } from '../support/planned-error.js';
import { ScriptedBroker } from '../support/scripted-broker.js';

const SLICE_MS = 5;
/** Duration of a write: a room of 50,000 takes half a second. */
const WRITE_MS = 0.01;

let loop: Loop;
let hub: Hub;
const evict = vi.fn();

/** Accepts every write, which takes time. */
class Sink implements Transport {
  readonly name = 'websocket';
  readonly framing = plainFraming;
  readonly remoteAddress = '192.0.2.1';
  readonly writable = true;
  readonly progressAt = Number.NEGATIVE_INFINITY;
  readonly unconfirmedMessages = 0;
  readonly batches: Buffer[] = [];
  /** Messages written to any peer when this one was last prefetched. */
  prefetchedAt = -1;

  constructor(readonly writes: Sink[]) {}

  prefetch(): boolean {
    this.prefetchedAt = this.writes.length;
    return true;
  }

  write(batch: Buffer): boolean {
    loop.spend(WRITE_MS);
    this.batches.push(batch);
    this.writes.push(this);
    return true;
  }
  close(): void {}
  reset(): void {}

  /** Messages received. */
  get texts(): string[] {
    return this.batches.flatMap(framesIn);
  }
}

/** All writes, in order. */
const writes: Sink[] = [];

function join(...rooms: string[]): Sink {
  const transport = new Sink(writes);
  const member = new Member(`m${hub.members.size}`, transport, hub.memberContext);
  hub.memberships.add(member);
  for (const room of rooms) void hub.memberships.join(member, room);
  return transport;
}

const publish = (room: string, data: string) => hub.publish(null, room, JSON.stringify(data));

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance', 'Date', 'setInterval', 'clearInterval'] });
  loop = new Loop();
  writes.length = 0;
  evict.mockClear();
  const codec = new JsonCodec();
  hub = new Hub(
    { ...defaults, maxRoomsPerMember: 0 },
    new ScriptedBroker(),
    codec,
    new Recorder(),
    new LoopClock(),
    evict,
    new Detector({ mode: 'strict' }),
  );
  // The first join of a room asks the broker, which takes some microtasks.
  for (const room of ['large', 'b', 'c']) join(room);
  await vi.waitFor(() => {
    for (const room of ['large', 'b', 'c']) expect(hub.rooms.get(room)?.size).toBe(1);
  });
  expect(loop.run()).toBe(0);
});

afterEach(async () => {
  loop.restore();
  await hub.close(0);
  vi.useRealTimers();
});

describe('FanOut', () => {
  it('yields every few milliseconds in a room of 50,000, to a join and a message elsewhere', () => {
    const members = Array.from({ length: 50_000 }, () => join('large'));
    void publish('large', 'to all');
    const slices: number[] = [];
    let elsewhere: Sink | undefined;
    while (!loop.isIdle) {
      if (slices.length === 3) {
        elsewhere = join('b');
        void publish('b', 'to few');
      }
      const before = performance.now();
      loop.turn();
      slices.push(performance.now() - before);
      // Within two slices, although most of the large room is not done yet.
      if (slices.length === 5) {
        expect(elsewhere?.texts).toHaveLength(1);
        expect(writes.length).toBeLessThan(10_000);
      }
    }
    expect(Math.max(...slices)).toBeLessThan(SLICE_MS + 20 * WRITE_MS);
    expect(slices.length).toBeGreaterThan(95);
    expect(members.filter(({ texts }) => texts.length !== 1)).toEqual([]);
  });

  it('prefetches members sixteen at a time, before the first of them is written to', () => {
    const members = Array.from({ length: 39 }, () => join('large'));
    void publish('large', 'to all');
    loop.run();
    // The member that joined earlier is the first.
    const expected = members.map((_, i) => Math.floor((i + 1) / 16) * 16);
    expect(members.map(({ prefetchedAt }) => prefetchedAt)).toEqual(expected);
    expect(writes).toHaveLength(40);
  });

  it('gives every room its turn', () => {
    for (const room of ['large', 'b', 'c']) {
      for (let n = 0; n < 1000; n += 1) join(room);
    }
    const roomOf = new Map<Transport, string>();
    for (const [name, room] of hub.rooms) {
      for (const { member } of room.members()) roomOf.set(member.transport, name);
      void publish(name, 'x');
    }
    const turns: string[] = [];
    while (!loop.isIdle) {
      const before = writes.length;
      loop.turn();
      turns.push([...new Set(writes.slice(before).map((sink) => roomOf.get(sink)))].join(', '));
    }
    // 1,001 members take 10 ms: two slices and a little of a third, whose rest goes to the next room.
    expect(turns).toEqual(['large', 'b', 'c', 'large, b', 'c, b', 'b']);
  });

  it('joins messages of one turn, and queues those published during a flush', () => {
    const members = Array.from({ length: 2000 }, () => join('large'));
    for (let n = 0; n < 10; n += 1) void publish('large', `${n}`);
    loop.turn();
    expect(writes.length).toBeLessThan(1000);
    void publish('large', 'late');
    loop.run();
    for (const sink of members) {
      expect(sink.batches).toHaveLength(2);
      const data = sink.texts.map((text) => (JSON.parse(text) as { data: string }).data);
      expect(data).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'late']);
    }
  });

  it('offers nothing to members that leave during a flush, and later messages to those that join', () => {
    const members = Array.from({ length: 2000 }, () => join('large'));
    void publish('large', 'first');
    loop.turn();
    const last = [...hub.members.values()].at(-1) as Member;
    hub.memberships.leave(last, 'large');
    const late = join('large');
    void publish('large', 'second');
    loop.run();
    const received = (sink: Sink) =>
      sink.texts.map((text) => {
        const { type, data, reason } = JSON.parse(text) as Record<string, string>;
        return data ?? `${type} ${reason}`;
      });
    expect(received(members.at(-1)!)).toEqual(['gap left']);
    expect(received(late)).toEqual(['second']);
    expect(received(members[0]!)).toEqual(['first', 'second']);
  });

  it('yields to messages when ten thousand members get a control frame at once', () => {
    const members = Array.from({ length: 10_000 }, () => join());
    for (const member of hub.members.values()) member.send({ type: 'pong', id: 1 });
    const elsewhere = join('b');
    void publish('b', 'to few');
    const slices: number[] = [];
    while (!loop.isIdle) {
      const before = performance.now();
      loop.turn();
      slices.push(performance.now() - before);
      if (slices.length === 2) expect(elsewhere.texts).toHaveLength(1);
    }
    expect(Math.max(...slices)).toBeLessThan(SLICE_MS + 20 * WRITE_MS);
    expect(slices.length).toBeGreaterThan(15);
    expect(members.filter(({ texts }) => texts.length !== 1)).toEqual([]);
  });

  it('evicts as many members per turn as time allows, and at least one', () => {
    const evicted: Member[] = [];
    const fanOut = new FanOut(new Recorder(), [], (member) => {
      loop.spend(2);
      evicted.push(member);
    });
    const members = [...hub.members.values()];
    for (const member of [...members, ...members]) fanOut.evictLater(member, 'slow_consumer');
    loop.turn();
    expect(evicted).toEqual(members);
    loop.run();
    expect(evicted).toEqual([...members, ...members]);
  });

  it('evicts a member whose transport throws, and offers the message to the others (V12)', () => {
    const errors: unknown[] = [];
    const end = onSurvived((error) => errors.push(error));
    const all = [join('b'), join('b'), join('b')] as const;
    const failed = [...hub.members.values()].at(-2);
    vi.spyOn(all[1], 'write').mockImplementationOnce(() => {
      throw new PlannedError('no memory');
    });
    void publish('b', 'x');
    loop.run();
    end();
    expect(errors).toEqual([new PlannedError('no memory')]);
    expect(all.map(({ texts }) => texts.length)).toEqual([1, 0, 1]);
    expect(evict.mock.calls).toEqual([[failed, 'internal_error']]);
  });

  it('evicts, and runs the other late work, if one piece of it throws (V12)', () => {
    const errors: unknown[] = [];
    const end = onSurvived((error) => errors.push(error));
    let isReady = true;
    const bad = {
      isReady: true,
      run() {
        throw new PlannedError('bad');
      },
    };
    const good = {
      get isReady() {
        return isReady;
      },
      run() {
        isReady = false;
      },
    };
    const fanOut = new FanOut(new Recorder(), [bad, good], evict);
    fanOut.evictLater([...hub.members.values()][0] as Member, 'slow_consumer');
    loop.turn();
    bad.isReady = false;
    loop.run();
    end();
    expect(errors).toEqual([new PlannedError('bad')]);
    expect(isReady).toBe(false);
    expect(evict).toHaveBeenCalledOnce();
  });

  it('reports how long a run took', () => {
    const flushed = vi.spyOn(Recorder.prototype, 'flushed');
    for (let n = 0; n < 2000; n += 1) join('large');
    void publish('large', 'x');
    const turns = loop.run();
    expect(flushed).toHaveBeenCalledTimes(turns);
    for (const [seconds] of flushed.mock.calls) expect(seconds).toBeLessThan(0.0053);
    flushed.mockRestore();
  });
});
