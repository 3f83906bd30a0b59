/** The control lane compared with a plain list: order, bounds, and the memory it reports. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ControlLane } from '../../src/room/control-lane.js';
import { QueueMemory } from '../../src/room/frame.js';

const BOUNDS = { controlMessages: 5, controlBytes: 100 };

test('returns frames in order, holds no more than its bounds, and counts them', () => {
  const push = fc.record({
    kind: fc.constant('push' as const),
    size: fc.integer({ min: 1, max: 60 }),
  });
  const take = fc.record({
    kind: fc.constant('take' as const),
    size: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(fc.oneof(push, take), { maxLength: 60 }), (steps) => {
      const memory = new QueueMemory(1000, () => {});
      const lane = new ControlLane(BOUNDS, memory);
      const model: Buffer[] = [];
      const bytesOf = (frames: readonly Buffer[]) =>
        frames.reduce((sum, { length }) => sum + length, 0);
      for (const [number, { kind, size }] of steps.entries()) {
        if (kind === 'push') {
          const frame = Buffer.alloc(size, number);
          const fits =
            model.length < BOUNDS.controlMessages && bytesOf(model) + size <= BOUNDS.controlBytes;
          expect(lane.fits(frame)).toBe(fits);
          if (!fits) continue;
          lane.push(frame);
          model.push(frame);
        } else {
          const parts: Buffer[] = [];
          const bytes = lane.take(parts, size);
          expect(parts).toEqual(model.splice(0, parts.length));
          expect(bytes).toBe(bytesOf(parts));
          if (parts.length === 0) expect(model).toEqual([]);
          if (parts.length > 1) expect(bytes).toBeLessThanOrEqual(size);
          // It stopped because the next frame would have exceeded the limit.
          if (model[0] !== undefined) expect(bytes + model[0].length).toBeGreaterThan(size);
        }
        expect(lane.frames).toEqual(model);
        expect(lane.bytes).toBe(bytesOf(model));
        expect(memory.bytes).toBe(lane.bytes);
      }
      lane.clear();
      expect([lane.frames, lane.bytes, memory.bytes]).toEqual([[], 0, 0]);
    }),
  );
});
