/** `auth`: a token says who the caller is, from now on or for longer than the one before. */
import type { Command } from './command.js';

export const auth: Command<unknown> = {
  type: 'auth',
  isOpen: true,
  // The bound is one of the token, told as that (`auth/tokens.ts`).
  maxBytes: () => Number.POSITIVE_INFINITY,
  check: ({ token }) => token,
  run: (caller, id, token) => caller.authenticate(id, token),
};
