/** What the axes of a chart say: which part of the past, and where the marks are. Pure. */
import { REMEMBERED } from './frame.js';

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

/** Every decade, or every second one where there are many. */
export function decades([least, most]: readonly [number, number]): number[] {
  const first = Math.round(Math.log10(least));
  const count = Math.round(Math.log10(most)) - first;
  const every = count > 5 ? 2 : 1;
  return Array.from({ length: Math.floor(count / every) + 1 }, (_, i) => 10 ** (first + i * every));
}
