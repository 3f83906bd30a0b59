/** `auth`: sets or refreshes the caller's identity by a token. */
import type { Command } from './command.js';

export const auth: Command<unknown> = {
  type: 'auth',
  isOpen: true,
  // `auth/tokens.ts` bounds the token itself, with an error of its own.
  maxBytes: () => Number.POSITIVE_INFINITY,
  check: ({ token }) => token,
  run: (caller, id, token) => caller.authenticate(id, token),
};
