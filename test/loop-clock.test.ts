/** The clock by which peers are judged: it stands still with the loop (V13). */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LoopClock } from '../src/loop-clock.js';
import { Loop } from './support/loop.js';

let loop: Loop;
let clock: LoopClock;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
  });
  loop = new Loop();
  clock = new LoopClock();
});

afterEach(() => {
  clock.close();
  loop.restore();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

test('runs with the wall while the loop runs', () => {
  const start = clock.now();
  vi.advanceTimersByTime(10_000);
  expect(clock.now() - start).toBeCloseTo(10_000, 3);
  expect(clock.mayJudge).toBe(true);
});

test('counts a stand-still as next to nothing, and nobody may be judged before sockets are read', () => {
  const start = clock.now();
  loop.spend(60_000);
  expect(clock.now() - start).toBeLessThan(100);
  expect(clock.mayJudge).toBe(false);
  vi.advanceTimersByTime(25);
  expect(clock.mayJudge).toBe(false);
  expect(loop.run()).toBe(1);
  expect(clock.mayJudge).toBe(true);
  expect(clock.now() - start).toBeLessThan(200);
});

test('calls back after its own time, and never in a stand-still', () => {
  const called = vi.fn();
  clock.after(1000, called);
  vi.advanceTimersByTime(500);
  loop.spend(60_000);
  vi.advanceTimersByTime(100);
  loop.run();
  expect(called).not.toHaveBeenCalled();
  vi.advanceTimersByTime(500);
  expect(called).toHaveBeenCalledOnce();
});

test('calls back nobody who has cancelled', () => {
  const called = vi.fn();
  clock.after(1000, called)();
  vi.advanceTimersByTime(2000);
  expect(called).not.toHaveBeenCalled();
});
