/**
 * Reads a file of options in the encodings that editors write: UTF-8 or, with a byte order mark, UTF-16;
 * any line endings; YAML if the name ends in `.yaml` or `.yml`, else JSON.
 *
 * Not here: the check of the options (`config.ts`).
 */
import { readFileSync } from 'node:fs';
import { type Document, FileError } from './document.js';
import { parseJson } from './json.js';
import { parseYaml } from './yaml.js';

/** @throws FileError; its message continues a sentence that starts with the file name. */
export function readConfigFile(path: string): Document {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new FileError(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const text = textOf(bytes);
  if (text.trim() === '') throw new FileError('is empty');
  return /\.ya?ml$/i.test(path) ? parseYaml(text) : parseJson(text);
}

function textOf(bytes: Buffer): string {
  const mark = bytes.subarray(0, 2).toString('hex');
  const encoding = mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8';
  try {
    // The decoder removes a byte order mark.
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new FileError(`is not text in ${encoding.toUpperCase()}`);
  }
}
