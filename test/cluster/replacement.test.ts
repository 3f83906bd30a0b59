/** How long a replaced worker may take to exit, and that a closed server starts no process. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { fork } from '../../src/cluster/fork.js';
import { replaceAll } from '../../src/cluster/replacement.js';
import { Seated } from '../../src/cluster/seated.js';
import { Spare } from '../../src/cluster/spare.js';
import { silent } from '../../src/log.js';
import { defaults } from '../../src/options/config.js';

vi.mock('../../src/cluster/fork.js', () => ({ fork: vi.fn(() => null) }));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('a replaced worker has the grace of its own options, not of the new ones', async () => {
  const [old, next] = [new Seated(null, 0, 1, false), new Seated(null, 0, 2, true)];
  Object.assign(old, { state: 'serving', hasStopped: true, graceMs: 60_000 });
  next.state = 'ready';
  const kill = vi.spyOn(old, 'kill').mockReturnValue();
  const seats = {
    slots: 1,
    isClosing: false,
    at: () => old,
    fork: () => next,
    seat(seat: Seated) {
      seat.state = 'serving';
    },
  };
  void replaceAll(seats, { ...defaults, shutdownGraceMs: 1000, lameDuckMs: 0 }, silent);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(kill).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(kill).toHaveBeenCalledOnce();
});

it('a closed server keeps no spare process', () => {
  const spare = new Spare(silent);
  spare.close();
  spare.prepare();
  expect(fork).not.toHaveBeenCalled();
});
