/** Where the marks of an axis are; and the axis of the past, which the live page has. Pure. */
import { REMEMBERED } from './frame.js';

/** What the values along x are. */
export interface XAxis {
  /** The part that is shown, of all values and on a plot of this width. */
  range(values: ArrayLike<number>, width: number): readonly [from: number, to: number];
  marks(
    values: ArrayLike<number>,
    width: number,
  ): readonly { readonly at: number; readonly label: string }[];
  /** What the cursor says it is at. */
  label(value: number): string;
  /** Values that an arrow key moves the cursor by. */
  readonly step: number;
}

/** Pixels. */
const NARROW = 360;

/** How many seconds may be shown, and in how many parts the axis has them; fewer where it is narrow. */
const WINDOWS = [
  { seconds: 120, parts: 4, narrow: 2 },
  { seconds: 300, parts: 5, narrow: 2 },
  { seconds: REMEMBERED, parts: 5, narrow: 3 },
] as const;

/** A part of the past: it starts `start` seconds after 1970 and has a mark after each of `parts`. */
export interface Span {
  readonly start: number;
  readonly seconds: number;
  readonly parts: number;
}

/** Up to the latest moment, no longer than there is something to see. */
export function spanOf(at: ArrayLike<number>, width: number): Span {
  const end = at[at.length - 1] ?? Date.now() / 1000;
  const known = end - (at[0] ?? end);
  const { seconds, parts, narrow } = WINDOWS.find((each) => each.seconds >= known) ?? WINDOWS[2];
  return { start: end - seconds, seconds, parts: width < NARROW ? narrow : parts };
}

/** Where the marks are; the last of them is now. */
export const marksOf = ({ start, seconds, parts }: Span): number[] =>
  Array.from({ length: parts + 1 }, (_, i) => start + (seconds * i) / parts);

/** How long ago. */
export function ago(seconds: number): string {
  if (seconds < 1) return 'now';
  return seconds < 60 ? `−${Math.round(seconds)} s` : `−${Number((seconds / 60).toFixed(1))} min`;
}

/** Seconds that an arrow key moves the cursor. */
const STEP = 5;
const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** Seconds since 1970, one after the other, up to now. */
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

/** Every decade; every second one where there are many, and twice and five times it where few. */
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

/** For what is counted. */
export const WHOLE_STEPS = Array.from({ length: 9 }, (_, i) =>
  [1, 2, 5].map((step) => step * 10 ** i),
).flat();
