/**
 * Parses JSON written by hand: locates errors, and records the positions of all keys and values. An error
 * never quotes the text, which may contain a key.
 *
 * Not here: files and their encodings (`config-file.ts`).
 */
import type { Path } from './check.js';
import { type Document, FileError, Places, placeIn } from './document.js';

/** Maximum nesting of a file; options need three levels. */
const MAX_DEPTH = 100;

/** @throws FileError */
export function parseJson(text: string): Document {
  const places = new Places(text);
  const fault = findFault(text, places);
  if (fault !== null) throw new FileError(`${fault.what} ${placeIn(text, fault.at)}`);
  return { value: JSON.parse(text), places };
}

interface Fault {
  readonly at: number;
  readonly what: string;
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const PLAIN = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)\b/y;

/** The first position where `text` is not JSON or repeats a key; null if there is none. */
function findFault(text: string, places: Places): Fault | null {
  let at = 0;
  const invalid = (): Fault => ({ at, what: 'is not valid JSON' });
  const take = (token: RegExp): string | null => {
    token.lastIndex = at;
    const found = token.exec(text)?.[0] ?? null;
    at += found?.length ?? 0;
    return found;
  };
  const next = (character: string): boolean => {
    take(SPACE);
    if (text[at] !== character) return false;
    at += 1;
    return true;
  };

  const value = (path: Path): Fault | null => {
    take(SPACE);
    if (path.length > MAX_DEPTH) return { at, what: `is nested deeper than ${MAX_DEPTH} levels` };
    places.value(path, at);
    if (next('{')) return list('}', path, new Set());
    if (next('[')) return list(']', path, null);
    return take(STRING) === null && take(PLAIN) === null ? invalid() : null;
  };
  /** Parses the items up to `end`; with `keys`, those of an object. */
  const list = (end: string, path: Path, keys: Set<string> | null): Fault | null => {
    if (next(end)) return null;
    let item: string | number = -1;
    do {
      if (keys !== null) {
        take(SPACE);
        const start = at;
        const key = take(STRING);
        if (key === null) return invalid();
        const name = JSON.parse(key) as string;
        if (keys.has(name)) return { at: start, what: 'has the same key twice' };
        keys.add(name);
        places.key([...path, name], start);
        item = name;
        if (!next(':')) return invalid();
      } else item = Number(item) + 1;
      const fault = value([...path, item]);
      if (fault !== null) return fault;
    } while (next(','));
    return next(end) ? null : invalid();
  };

  const fault = value([]);
  if (fault !== null) return fault;
  take(SPACE);
  return at < text.length ? invalid() : null;
}
