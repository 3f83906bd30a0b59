/** A command failed; the message is one line, and the process exits with 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** Exits when the reader of stdout has gone: a command that only prints has nothing left to do. */
export function leaveWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
}
