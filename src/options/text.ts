/** Parses option values from text: flags and variables. */
import type { Option } from './index.js';

/** The value of the text; the text itself if it has none, so that the check rejects it. */
export function parseText({ schema }: Option, text: string): unknown {
  if (schema.type === 'integer') {
    if (text === schema.zeroWord) return 0;
    return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  }
  if (schema.type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  if (schema.type === 'array') return text.split(',').map((item) => item.trim());
  if (schema.type !== 'object') return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
