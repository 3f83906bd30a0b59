import fc from 'fast-check';
import { expect, it } from 'vitest';
import { shareOf } from '../../src/cluster/shares.js';
import { defaults } from '../../src/options/config.js';

it('divides limits of the whole server so that the shares add up to the total', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.nat(100), fc.nat(1_000_000)),
      fc.integer({ min: 1, max: 64 }),
      (all, slots) => {
        const config = { ...defaults, maxConnections: all, queueBytesTotal: all, maxRooms: all };
        const shares = Array.from({ length: slots }, (_, slot) => shareOf(config, slot, slots));
        for (const name of ['maxConnections', 'queueBytesTotal', 'maxRooms'] as const) {
          const values = shares.map((share) => share[name]);
          const sum = values.reduce((before, value) => before + value, 0);
          // No share is 0, which would mean no limit.
          expect(sum).toBe(all === 0 ? 0 : Math.max(all, slots));
          expect(Math.max(...values) - Math.min(...values)).toBeLessThanOrEqual(1);
        }
      },
    ),
  );
});

it('keeps unlimited options unlimited, and per-member options unchanged', () => {
  const share = shareOf({ ...defaults, maxConnections: 0, maxConnectionsPerAddress: 0 }, 1, 4);
  expect([share.maxConnections, share.maxConnectionsPerAddress]).toEqual([0, 0]);
  expect(share.publishRate).toBe(defaults.publishRate);
  expect(share.queueBytes).toBe(defaults.queueBytes);
});

it('allows an address slightly more than its share, since connections are spread unevenly', () => {
  const perAddress = (all: number) =>
    shareOf({ ...defaults, maxConnectionsPerAddress: all }, 0, 4).maxConnectionsPerAddress;
  expect([1, 4, 32, 100].map(perAddress)).toEqual([2, 2, 9, 29]);
});
