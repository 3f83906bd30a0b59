import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  dueOf,
  lateOf,
  numberOf,
  publisherOf,
  STAMP_LENGTH,
  Stamps,
} from '../../src/load/stamp.js';

const stamps = new Stamps('0a1f');

test('a stamp can be read back at any offset', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: STAMP_LENGTH, max: 300 }),
      fc.nat(0xffff),
      fc.nat(2 ** 31 - 1),
      fc.nat(2 ** 31 - 1),
      fc.nat(20_000_000),
      fc.uint8Array({ maxLength: 40 }),
      (size, publisher, number, due, late, before) => {
        const payload = stamps.payload(size, publisher, number, due, late);
        expect(payload).toHaveLength(size);
        const buf = Buffer.concat([before, payload, Buffer.from('"}')]);
        const at = before.length + size - STAMP_LENGTH;
        expect(stamps.isAt(buf, at)).toBe(true);
        expect(publisherOf(buf, at)).toBe(publisher);
        expect(numberOf(buf, at)).toBe(number);
        expect(dueOf(buf, at)).toBe(due);
        expect(lateOf(buf, at)).toBe(Math.min(late, 0xff_ffff));
      },
    ),
  );
});

test('a stamp is found within its bounds only', () => {
  const buf = Buffer.concat([Buffer.from('{"data":"'), stamps.payload(60, 1, 2, 3, 4)]);
  const at = buf.length - STAMP_LENGTH;
  expect(stamps.find(buf, 0, buf.length)).toBe(at);
  expect(stamps.find(buf, 0, buf.length - 1)).toBe(-1);
  expect(stamps.find(buf, at + 1, buf.length)).toBe(-1);
});

test('another run’s stamps are not taken for ours', () => {
  const other = new Stamps('0a1e').payload(60, 1, 2, 3, 4);
  expect(stamps.find(other, 0, other.length)).toBe(-1);
});

test('a payload is intact until any byte before its stamp changes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: STAMP_LENGTH, max: 1200 }),
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (size, before, where, change) => {
        const buf = Buffer.concat([before, stamps.payload(size, 1, 2, 3, 4)]);
        const at = buf.length - STAMP_LENGTH;
        expect(stamps.isIntact(buf, at, size)).toBe(true);
        expect(stamps.isIntact(buf, at, size + before.length + 1)).toBe(false);
        if (size === STAMP_LENGTH) return;
        const changed = before.length + (where % (size - STAMP_LENGTH));
        buf[changed] = buf[changed]! ^ change;
        expect(stamps.isIntact(buf, at, size)).toBe(false);
      },
    ),
  );
});
