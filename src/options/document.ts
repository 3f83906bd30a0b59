/** A parsed file of options, with the positions of its keys and values. */
import type { Path } from './check.js';

/** Why a file was rejected, and where: `is not valid JSON at line 3, column 5`. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

export interface Document {
  readonly value: unknown;
  readonly places: Places;
}

/** Positions of the values and keys of a file. */
export class Places {
  readonly #text: string;
  readonly #values = new Map<string, number>();
  readonly #keys = new Map<string, number>();

  constructor(text: string) {
    this.#text = text;
  }

  value(path: Path, at: number): void {
    this.#values.set(JSON.stringify(path), at);
  }

  key(path: Path, at: number): void {
    this.#keys.set(JSON.stringify(path), at);
  }

  /** `at line 3, column 9`; empty if there is no such value or key. */
  of(what: 'key' | 'value', path: Path): string {
    const at = (what === 'key' ? this.#keys : this.#values).get(JSON.stringify(path));
    return at === undefined ? '' : placeIn(this.#text, at);
  }
}

export function placeIn(text: string, at: number): string {
  const before = text.slice(0, at).split(/\r\n|\r|\n/);
  return `at line ${before.length}, column ${(before.at(-1) as string).length + 1}`;
}
