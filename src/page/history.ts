/**
 * The page's own history: at most the last 15 minutes, in columns for the charts. Bounded by time and by
 * count. A pause in the stream becomes a hole in the lines. Pure.
 */
import { REMEMBERED, type Series, type Values } from './frame.js';

/** Seconds without data after which a line has a hole. */
const HOLE = 2.5;
const MINUTE = 60;

export class History {
  /** Seconds since 1970, rising. */
  readonly at: number[] = [];
  readonly #columns = new Map<Series, (number | null)[]>();

  /** The values of one series, as long as `at`. */
  column(series: Series): readonly (number | null)[] {
    return this.#columns.get(series) ?? this.at.map(() => null);
  }

  /** The latest value of a series. */
  last(series: Series): number | null {
    return this.#columns.get(series)?.at(-1) ?? null;
  }

  /** The highest value of a series in the last minute; null without one. */
  worst(series: Series): number | null {
    const column = this.column(series);
    let worst: number | null = null;
    for (let i = column.length - 1; i >= 0 && this.at[i]! > this.end - MINUTE; i -= 1) {
      const value = column[i] ?? null;
      if (value !== null && (worst === null || value > worst)) worst = value;
    }
    return worst;
  }

  /** Time of the latest sample, in seconds since 1970; 0 without one. */
  get end(): number {
    return this.at.at(-1) ?? 0;
  }

  /** Adds a sample unless it is already known. `at` is in milliseconds since 1970. */
  add(at: number, series: readonly Series[], values: Values): void {
    const seconds = at / 1000;
    if (seconds <= this.end) return;
    if (this.at.length > 0 && seconds - this.end > HOLE) this.#push(this.end + 1, [], []);
    this.#push(seconds, series, values);
    while (this.at.length > REMEMBERED || this.at[0]! < seconds - REMEMBERED) this.#shift();
  }

  #push(at: number, series: readonly Series[], values: Values): void {
    const length = this.at.length;
    this.at.push(at);
    series.forEach((name, i) => {
      let column = this.#columns.get(name);
      if (column === undefined) {
        column = Array.from({ length }, () => null);
        this.#columns.set(name, column);
      }
      column[length] = values[i] ?? null;
    });
    for (const column of this.#columns.values()) column[length] ??= null;
  }

  #shift(): void {
    this.at.shift();
    for (const column of this.#columns.values()) column.shift();
  }
}
