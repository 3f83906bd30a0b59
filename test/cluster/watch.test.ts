/**
 * Which workers count as stalled: one that does not answer, and none while the primary itself is
 * stalled.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Seated } from '../../src/cluster/seated.js';
import { watch } from '../../src/cluster/watch.js';
import { silent } from '../../src/log.js';

let lateMs = 0;

beforeEach(() => {
  vi.useFakeTimers();
  lateMs = 0;
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + lateMs);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function watched(limitMs: number, answers = true) {
  const seat = {
    ...{ slot: 0, pid: 1, heardAt: performance.now(), killed: false },
    wasAsked: false,
    send() {
      seat.wasAsked = true;
    },
    kill() {
      seat.killed = true;
    },
  };
  watch(new Set([seat as unknown as Seated]), () => limitMs, silent);
  return {
    seat,
    /**
     * Advances to the primary's next check, which is `ms` late; then the worker answers, if it does.
     */
    look(ms = 0) {
      lateMs += ms;
      vi.advanceTimersByTime(1000);
      if (answers && seat.wasAsked) seat.heardAt = performance.now();
    },
  };
}

describe('a worker', () => {
  it.each([0, 5, 500, 999, 1500, 60_000])(
    'that answers is not blamed for %i ms in which the primary is stalled',
    (ms) => {
      const { seat, look } = watched(1000);
      for (let n = 0; n < 20; n += 1) look(n % 3 === 0 ? 0 : ms);
      expect(seat.killed).toBe(false);
    },
  );

  it.each([0, 300])(
    'that does not answer is killed, also by a primary that is %i ms late',
    (ms) => {
      const { seat, look } = watched(3000, false);
      for (let n = 0; n < 3; n += 1) look(ms);
      expect(seat.killed).toBe(false);
      look(ms);
      expect(seat.killed).toBe(true);
    },
  );
});
