/** Axis marks, and the time axis of the live page. Pure. */
import { REMEMBERED } from './frame.js';

/** The x axis of a chart. */
export interface XAxis {
  /** The shown range, given all values and the width of the plot. */
  range(values: ArrayLike<number>, width: number): readonly [from: number, to: number];
  marks(
    values: ArrayLike<number>,
    width: number,
  ): readonly { readonly at: number; readonly label: string }[];
  /** Text for the cursor position. */
  label(value: number): string;
  /** Number of values by which an arrow key moves the cursor. */
  readonly step: number;
}

/** Width in pixels below which an axis has fewer marks. */
const NARROW = 360;

/**
 * Possible time windows in seconds, and the number of parts the axis divides them into (`narrow` on
 * narrow plots).
 */
const WINDOWS = [
  { seconds: 120, parts: 4, narrow: 2 },
  { seconds: 300, parts: 5, narrow: 2 },
  { seconds: REMEMBERED, parts: 5, narrow: 3 },
] as const;

/** A time window: it begins `start` seconds after 1970 and is divided into `parts`. */
export interface Span {
  readonly start: number;
  readonly seconds: number;
  readonly parts: number;
}

/** The smallest window that ends at the latest sample and contains all of them. */
export function spanOf(at: ArrayLike<number>, width: number): Span {
  const end = at[at.length - 1] ?? Date.now() / 1000;
  const known = end - (at[0] ?? end);
  const { seconds, parts, narrow } = WINDOWS.find((each) => each.seconds >= known) ?? WINDOWS[2];
  return { start: end - seconds, seconds, parts: width < NARROW ? narrow : parts };
}

/** Times of the marks; the last is the end of the window. */
export const marksOf = ({ start, seconds, parts }: Span): number[] =>
  Array.from({ length: parts + 1 }, (_, i) => start + (seconds * i) / parts);

/** Formats a time difference. */
export function ago(seconds: number): string {
  if (seconds < 1) return 'now';
  return seconds < 60 ? `−${Math.round(seconds)} s` : `−${Number((seconds / 60).toFixed(1))} min`;
}

/** Seconds by which an arrow key moves the cursor. */
const STEP = 5;
const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** Time axis up to now, in seconds since 1970. */
export const PAST: XAxis = {
  range(at, width) {
    const { start, seconds } = spanOf(at, width);
    return [start, start + seconds];
  },
  marks(at, width) {
    const span = spanOf(at, width);
    return marksOf(span).map((mark) => ({
      at: mark,
      label: ago(span.start + span.seconds - mark),
    }));
  },
  label: (seconds) => time.format(seconds * 1000),
  step: STEP,
};

/**
 * Marks of a logarithmic axis: every decade; every second one if there are many; also 2 and 5 times it
 * if there are few.
 */
export function decades([least, most]: readonly [number, number]): number[] {
  const first = Math.round(Math.log10(least));
  const count = Math.round(Math.log10(most)) - first;
  const every = count > 5 ? 2 : 1;
  const between = count <= 2 ? [1, 2, 5] : [1];
  return Array.from({ length: Math.floor(count / every) + 1 }, (_, i) => 10 ** (first + i * every))
    .flatMap((decade) => between.map((times) => times * decade))
    .filter((mark) => mark <= most * 1.001);
}

/** Powers of two, for bytes. */
export const BINARY_STEPS = Array.from({ length: 44 }, (_, i) => 2 ** i);

/** Whole numbers, for counts. */
export const WHOLE_STEPS = Array.from({ length: 9 }, (_, i) =>
  [1, 2, 5].map((step) => step * 10 ** i),
).flat();
