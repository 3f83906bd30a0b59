/** The clock for timeouts of peers: it stops while the event loop is blocked (V13). */
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

test('follows the wall clock while the loop runs', () => {
  const start = clock.now();
  vi.advanceTimersByTime(10_000);
  expect(clock.now() - start).toBeCloseTo(10_000, 3);
  expect(clock.mayJudge).toBe(true);
});

test('hardly advances while the loop is blocked, and no peer times out before the sockets are read', () => {
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

test('calls back after its own time, never during a block', () => {
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

test('does not call back after a cancel', () => {
  const called = vi.fn();
  clock.after(1000, called)();
  vi.advanceTimersByTime(2000);
  expect(called).not.toHaveBeenCalled();
});

test('calls nobody back once it is closed, and leaves no timer (V8)', () => {
  const back = vi.fn();
  clock.after(100, back);
  clock.close();
  vi.advanceTimersByTime(1000);
  expect(back).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
