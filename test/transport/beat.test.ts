/** The heartbeat schedule, on a virtual clock and with checks of a given duration. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { LoopClock } from '../../src/loop-clock.js';
import { Beat, type Peer, SLICE_MS } from '../../src/transport/beat.js';
import { Loop } from '../support/loop.js';
import { PlannedError } from '../support/planned-error.js';
import { freezeClocks } from '../support/virtual.js';

const INTERVAL_MS = 25_000;
/** Duration of a check with a ping. */
const LOOK_MS = 0.01;

let loop: Loop;
let beat: Beat;
let mayJudge: boolean;
let looks: Map<Peer, number>;

beforeEach(() => {
  freezeClocks();
  loop = new Loop();
  mayJudge = true;
  looks = new Map();
  const clock = {
    now: () => performance.now(),
    get mayJudge() {
      return mayJudge;
    },
  };
  beat = new Beat(clock as LoopClock, INTERVAL_MS);
});

afterEach(() => {
  beat.close();
  loop.restore();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function add(count: number): Peer[] {
  const peers = Array.from({ length: count }, () => {
    const peer: Peer = {
      heartbeat(intervalMs) {
        expect(intervalMs).toBe(INTERVAL_MS);
        looks.set(peer, (looks.get(peer) ?? 0) + 1);
        loop.spend(LOOK_MS);
      },
    };
    return peer;
  });
  for (const peer of peers) beat.add(peer);
  return peers;
}

const sum = () => [...looks.values()].reduce((all, each) => all + each, 0);

/** Advances `ms`; returns the longest uninterrupted time that checks took. */
function pass(ms: number): number {
  let longest = 0;
  const timed = (act: () => void) => {
    const before = sum();
    act();
    longest = Math.max(longest, (sum() - before) * LOOK_MS);
  };
  for (let passed = 0; passed < ms; passed += 5) {
    timed(() => vi.advanceTimersByTime(5));
    while (!loop.isIdle) timed(() => loop.turn());
  }
  return longest;
}

test.each([1, 3, 20, 2000, 10_000])(
  'all of %i peers are checked once in half a second',
  (count) => {
    add(count);
    pass(500);
    expect(looks.size).toBe(count);
    expect(sum()).toBe(count);
    pass(1500);
    expect(new Set(looks.values())).toEqual(new Set([4]));
  },
);

test('thousands are checked a few at a time, over the whole round', () => {
  add(10_000);
  // The clock is read after every sixteen checks.
  expect(pass(2000)).toBeLessThanOrEqual(SLICE_MS + 16 * LOOK_MS);
  const before = sum();
  pass(100);
  expect(sum() - before).toBe(2000);
});

test('none is checked while the server was stalled, and none twice afterwards (V13)', () => {
  add(2000);
  pass(200);
  mayJudge = false;
  pass(400);
  expect(sum()).toBe(800);
  mayJudge = true;
  pass(500);
  expect(looks.size).toBe(2000);
  expect(Math.max(...looks.values())).toBe(2);
});

test('peers may be added and deleted during a round', () => {
  const gone = add(100);
  pass(250);
  expect(looks.size).toBe(50);
  for (const peer of gone) beat.delete(peer);
  looks.clear();
  pass(1000);
  expect(sum()).toBe(0);
  add(10);
  pass(500);
  expect(looks.size).toBe(10);
});

test('a check that throws does not stop the next (V12)', () => {
  beat.add({
    heartbeat() {
      throw new PlannedError();
    },
  });
  add(1);
  pass(500);
  expect(sum()).toBe(1);
});

test('a short interval has ten rounds', () => {
  beat.close();
  const clock = { now: () => 0, mayJudge: true } as LoopClock;
  beat = new Beat(clock, 1000);
  let count = 0;
  beat.add({
    heartbeat: () => {
      count += 1;
    },
  });
  pass(1000);
  expect(count).toBe(10);
});
