/** What the kernel's acknowledgements prove about a peer, and what they do not (V13). */
import type { Socket } from 'node:net';
import { beforeEach, expect, test } from 'vitest';
import type { LoopClock } from '../../src/loop-clock.js';
import type { KernelQueues } from '../../src/transport/kernel-queue.js';
import { Progress } from '../../src/transport/progress.js';

let now: number;
let handle: { bytesWritten: number; writeQueueSize: number };
let progress: Progress;

beforeEach(() => {
  now = 1000;
  handle = { bytesWritten: 0, writeQueueSize: 0 };
  const socket = { _handle: handle } as unknown as Socket;
  const watch = { clock: { now: () => now } as LoopClock, kernel: {} as KernelQueues };
  progress = new Progress(watch, socket);
});

/** A kernel reading a second later, with the bytes written in all and those not acknowledged. */
function look(written: number, unacknowledged: number, refused = 0): void {
  now += 1000;
  handle.bytesWritten = written + refused;
  handle.writeQueueSize = refused;
  progress.reading();
  progress.unacknowledged(unacknowledged);
}

test('bytes that the kernel held at the last look and no longer holds have been taken', () => {
  look(1_000_000, 1_000_000, 5000);
  look(1_000_000, 900_000, 5000);
  expect(progress.takenAt).toBe(now);
});

test('without acknowledgements nothing counts as taken, at any number of looks', () => {
  for (let count = 0; count < 30; count += 1) look(1_000_000, 1_000_000, 5000);
  expect(progress.takenAt).toBe(1000);
});

test('a small flow that is acknowledged at once only proves that the kernel is alive', () => {
  for (let count = 1; count <= 30; count += 1) look(count * 100, 0);
  expect(progress.takenAt).toBe(1000);
});
