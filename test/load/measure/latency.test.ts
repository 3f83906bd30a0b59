import fc from 'fast-check';
import { build, decodeFromCompressedBase64 } from 'hdr-histogram-js';
import { expect, test } from 'vitest';
import { Latency } from '../../../src/load/measure/latency.js';

const values = fc.array(fc.oneof(fc.nat(5000), fc.nat(2 ** 31 - 1)), { maxLength: 200 });

test('quantiles are those of an HDR histogram of three digits', () => {
  fc.assert(
    fc.property(values, (recorded) => {
      const latency = new Latency();
      const hdr = build({ numberOfSignificantValueDigits: 3, highestTrackableValue: 2 ** 31 - 1 });
      for (const value of recorded) {
        latency.record(value);
        hdr.recordValue(value);
      }
      const { count, mean, p50, p99 } = latency.quantiles();
      expect(count).toBe(recorded.length);
      if (recorded.length === 0) expect([mean, p50]).toEqual([null, null]);
      else {
        expect(p50).toBe(hdr.getValueAtPercentile(50));
        expect(p99).toBe(hdr.getValueAtPercentile(99));
        expect(mean).toBe(Math.round(hdr.mean));
        const all = Array.from({ length: 1000 }, (_, i) => (i + 1) / 10);
        expect(latency.at(all)).toEqual(all.map((p) => hdr.getValueAtPercentile(p)));
      }
    }),
  );
});

test('no quantile exceeds the maximum, after serialization too', () => {
  fc.assert(
    fc.property(values, (recorded) => {
      const here = new Latency();
      for (const value of recorded) here.record(value);
      const there = new Latency();
      const { p9999, max } = here.quantiles();
      if (recorded.length > 0) expect(p9999).toBeLessThanOrEqual(max!);
      there.add(here.take());
      expect(here.count).toBe(0);
      expect(there.quantiles()).toMatchObject({ count: recorded.length, p9999, max });
    }),
  );
});

test('values outside of the range count at its end', () => {
  const latency = new Latency();
  latency.record(-5);
  latency.record(1e12);
  const { count, p50, max } = latency.quantiles();
  expect(count).toBe(2);
  expect(p50).toBe(0);
  expect(max).toBeGreaterThan(2 ** 31 * 0.999);
});

test('increments shipped by several add up to the whole', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), values), { maxLength: 6 }), (rounds) => {
      const parts = [new Latency(), new Latency()];
      const merged = new Latency();
      const whole = new Latency();
      for (const [second, recorded] of rounds) {
        const i = second ? 1 : 0;
        for (const value of recorded) {
          parts[i]!.record(value);
          whole.record(value);
        }
        merged.add(parts[i]!.take());
      }
      expect(merged.encode()).toBe(whole.encode());
    }),
  );
});

test('the HDR library can read the encoded form', () => {
  const latency = new Latency();
  for (const value of [10, 20, 3000, 70_000]) latency.record(value);
  const decoded = decodeFromCompressedBase64(latency.encode());
  expect(decoded.totalCount).toBe(4);
  expect(decoded.getValueAtPercentile(50)).toBe(20);
});
