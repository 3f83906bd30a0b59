/** How the values of options are written as text: in flags and in variables. */
import type { Option } from './index.js';

/** The value a text stands for; the text itself where it stands for none, to be refused by the check. */
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
