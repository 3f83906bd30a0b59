/** The check of user ids and token ids, whatever their source. */
import { show } from '../protocol/fields.js';

const MAX_NAME_LENGTH = 128;

export const isName = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length > 0 &&
  value.length <= MAX_NAME_LENGTH &&
  !/[\p{Cc}\p{Cs}]/u.test(value);

/** The error message for a value that is not a name. */
export const notAName = (name: string, value: unknown): string =>
  `${name} is ${show(value)}; it must be a string of 1 to ${MAX_NAME_LENGTH} characters without control characters.`;
