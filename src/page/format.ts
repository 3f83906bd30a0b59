/** Formats numbers for people: at most three digits, always with a unit. Pure. */

/** At most three significant digits: 0.42, 4.2, 42, 420. */
function short(value: number): string {
  const digits = value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** A count or a rate: 42, 4,200, 42.1 k, 4.2 M. */
export function count(value: number): string {
  if (value >= 1e6) return `${short(value / 1e6)} M`;
  if (value >= 1e4) return `${short(value / 1e3)} k`;
  return Math.round(value).toLocaleString('en-US');
}

export const rate = (value: number): string =>
  `${value > 0 && value < 10 ? short(value) : count(value)}/s`;

/** From µs to days: 420 µs, 4.2 ms, 42 s, 4 min, 4 h, 4 d. */
export function duration(seconds: number): string {
  if (seconds === 0) return '0 ms';
  if (seconds < 1e-6) return '< 1 µs';
  if (seconds < 0.000_999_5) return `${short(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${short(seconds * 1e3)} ms`;
  if (seconds < 99.5) return `${short(seconds)} s`;
  if (seconds < 5970) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  for (; scaled >= 1000 && unit < BYTES.length - 1; unit += 1) scaled /= 1024;
  return `${short(scaled)} ${BYTES[unit]}`;
}

export function percent(share: number): string {
  const value = share * 100;
  return `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))} %`;
}

/** `1 member`, `2 members`. */
export const plural = (value: number, word: string): string =>
  `${count(value)} ${word}${value === 1 ? '' : 's'}`;

/** Shown where there is no value. */
export const NONE = '–';

/** `format` of a number, or a dash. */
export const orNone = (
  value: number | null | undefined,
  format: (value: number) => string,
): string => (value === null || value === undefined ? NONE : format(value));
