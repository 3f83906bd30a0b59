import { describe, expect, test } from 'vitest';
import { placesFor } from '../src/descriptors.js';

function places(maxConnections: number, descriptors: number, open = 20) {
  const told: string[] = [];
  const log = { warn: (_: unknown, text?: string) => void told.push(text ?? '') };
  return { ...placesFor({ maxConnections }, log, descriptors, open), told: told.length };
}

describe('connection limits', () => {
  test.each([
    ['enough descriptors for all', 10_000, 1_048_576, { sockets: 10_256, members: 10_000 }],
    ['exactly as many as needed', 100, 440, { sockets: 356, members: 100 }],
    ['few left for sockets without a member', 100, 220, { sockets: 136, members: 100 }],
    ['no limit requested', 0, 1024, { sockets: 940, members: 705 }],
    ['unknown number of descriptors', 10_000, Number.NaN, { sockets: 10_256, members: 10_000 }],
    ['unknown number, and no limit', 0, Number.NaN, { sockets: Infinity, members: 0 }],
  ])('%s: no warning', (_, maxConnections, descriptors, expected) => {
    expect(places(maxConnections, descriptors)).toEqual({ ...expected, told: 0 });
  });

  test.each([
    [10_000, 1024, { sockets: 940, members: 705 }],
    [10_000, 8192, { sockets: 8108, members: 7852 }],
    [100, 10, { sockets: 1, members: 1 }],
  ])(
    '%i connections with %i descriptors: the limit is lowered, with a warning',
    (asked, fds, expected) => {
      const { told, ...given } = places(asked, fds);
      expect(given).toEqual(expected);
      expect(told).toBe(1);
      expect(given.sockets + 20 + 64).toBeLessThanOrEqual(Math.max(fds, 85));
    },
  );
});
