/** Why a command could not do it, in one line; the process exits with 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** For a command whose output is all it is for: without a reader it has nothing to do. */
export function leaveWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
}
