/** What can be the id of a user, or the name of a token, wherever it comes from. */
import { show } from '../protocol/fields.js';

const MAX_NAME_LENGTH = 128;

export const isName = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length > 0 &&
  value.length <= MAX_NAME_LENGTH &&
  !/[\p{Cc}\p{Cs}]/u.test(value);

/** What is wrong with it. */
export const notAName = (name: string, value: unknown): string =>
  `${name} is ${show(value)}; it has to be a string of 1 to ${MAX_NAME_LENGTH} characters without controls.`;
