/**
 * Reads a JSON file that a person has written, with whatever editor, and says where it is wrong:
 * UTF-8 or, with a byte order mark, UTF-16; any line ends. What is refused is never quoted: it may
 * hold a key.
 */
import { readFileSync } from 'node:fs';

/** Levels that a file may have; options have three. */
const MAX_DEPTH = 100;

/** Why a file was not taken, with where: `is not valid JSON at line 3, column 5`. */
export class JsonFileError extends Error {
  override readonly name = 'JsonFileError';
}

/** @throws JsonFileError; its message continues a sentence that begins with the file. */
export function readJsonFile(path: string): unknown {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new JsonFileError(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return parseJson(textOf(bytes));
}

function textOf(bytes: Buffer): string {
  const mark = bytes.subarray(0, 2).toString('hex');
  const encoding = mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8';
  try {
    // A byte order mark is taken off by the decoder.
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new JsonFileError(`is not text in ${encoding.toUpperCase()}`);
  }
}

function parseJson(text: string): unknown {
  if (text.trim() === '') throw new JsonFileError('is empty');
  const fault = findFault(text);
  if (fault !== null) {
    const before = text.slice(0, fault.at).split(/\r\n|\r|\n/);
    const column = (before.at(-1) as string).length + 1;
    throw new JsonFileError(`${fault.what} at line ${before.length}, column ${column}`);
  }
  return JSON.parse(text);
}

interface Fault {
  readonly at: number;
  readonly what: string;
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const PLAIN = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)\b/y;

/** The first place where `text` is not JSON, or says a key twice; null where there is none. */
function findFault(text: string): Fault | null {
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

  const value = (depth: number): Fault | null => {
    take(SPACE);
    if (depth > MAX_DEPTH) return { at, what: `is nested deeper than ${MAX_DEPTH} levels` };
    if (next('{')) return list('}', depth, new Set());
    if (next('[')) return list(']', depth, null);
    return take(STRING) === null && take(PLAIN) === null ? invalid() : null;
  };
  /** Up to `end`; with `keys`, each value has one. */
  const list = (end: string, depth: number, keys: Set<string> | null): Fault | null => {
    if (next(end)) return null;
    do {
      if (keys !== null) {
        take(SPACE);
        const start = at;
        const key = take(STRING);
        if (key === null) return invalid();
        const name = JSON.parse(key) as string;
        if (keys.has(name)) return { at: start, what: 'has the same key twice' };
        keys.add(name);
        if (!next(':')) return invalid();
      }
      const fault = value(depth + 1);
      if (fault !== null) return fault;
    } while (next(','));
    return next(end) ? null : invalid();
  };

  const fault = value(0);
  if (fault !== null) return fault;
  take(SPACE);
  return at < text.length ? invalid() : null;
}
