import { expect, test } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatMicros,
  parseByteRate,
  parseCount,
  parseDuration,
  parseRate,
  parseShare,
  parseSize,
} from '../../src/load/units.js';

test('quantities are parsed with their units', () => {
  expect(parseDuration('x', '250ms')).toBe(250);
  expect(parseDuration('x', '1.5s')).toBe(1500);
  expect(parseDuration('x', '0')).toBe(0);
  expect(parseSize('x', '64KiB')).toBe(65_536);
  expect(parseSize('x', '1.5MB')).toBe(1_500_000);
  expect(parseByteRate('x', '16KiB/s')).toBe(16_384);
  expect(parseRate('x', '250/s')).toBe(250);
  expect(parseRate('x', '30/m')).toBe(0.5);
  expect(parseShare('x', '10%', 205)).toBe(21);
  expect(parseShare('x', '7', 205)).toBe(7);
  expect(parseCount('x', '12', 1, 12)).toBe(12);
});

test.each([
  [() => parseDuration('calm', '10'), 'calm is "10": expected a duration such as 250ms or 10s'],
  [() => parseDuration('calm', '-1s'), 'calm is "-1s"'],
  [() => parseSize('size', '4 parsecs'), 'size is "4 parsecs": expected a size'],
  [() => parseRate('rate', '0/s'), 'rate is "0/s": expected a rate above 0'],
  [() => parseShare('cohort', '1.5', 10), 'expected a whole number or a percentage'],
  [() => parseCount('seed', '13', 1, 12), 'seed is "13": expected a whole number from 1 to 12'],
])('an invalid quantity is refused in one line', (parse, message) => {
  expect(parse).toThrow(message);
});

test('quantities are formatted for people', () => {
  expect(formatMicros(850)).toBe('850 µs');
  expect(formatMicros(2345)).toBe('2.35 ms');
  expect(formatMicros(1_250_000)).toBe('1.25 s');
  expect(formatMicros(null)).toBe('–');
  expect(formatDuration(250)).toBe('250ms');
  expect(formatDuration(12_000)).toBe('12s');
  expect(formatDuration(120_000)).toBe('2m');
  expect(formatBytes(-4_200_000)).toBe('-4.20 MB');
  expect(formatCount(98_231)).toBe('98,231');
  expect(formatCount(12.34)).toBe('12.3');
});
