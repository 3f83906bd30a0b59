/** Why a command could not do it, in one line; the process exits with 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
