/** Backlog bytes of a room, and how much of them one flush takes. */
import { expect, it } from 'vitest';
import { Detector } from '../../src/lock/index.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { Backlog } from '../../src/room/backlog.js';
import { Room } from '../../src/room/room.js';

it('takes at most 64 KiB of UTF-8 into a flush, or the message that reaches it', () => {
  const backlog = new Backlog({ roomBacklogBytes: 1_000_000, queueBytesTotal: 1_000_000 });
  const room = new Room('a', backlog, new Recorder(), new Detector());
  room.subscribed({ seq: 0, epoch: 'e' });
  const data = JSON.stringify('語'.repeat(5000));
  for (let seq = 1; seq <= 9; seq += 1) {
    room.receive({ room: 'a', seq, epoch: 'e', at: 0, data, from: null });
  }
  const all = room.backlogBytes;
  const each = all / 9;
  // 5,000 characters of three bytes, and the envelope.
  expect(each).toBeGreaterThan(15_000);
  expect(each).toBeLessThan(15_100);
  expect(backlog.bytes).toBe(all);
  const left: number[] = [];
  for (let isDone = false; !isDone; left.push(room.backlogBytes)) {
    isDone = room.flush(Number.POSITIVE_INFINITY, new Recorder(), () => {});
  }
  expect(left).toEqual([4 * each, 0]);
  expect(backlog.bytes).toBe(0);
});
