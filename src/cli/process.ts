/** How a process that serves ends. */
import type { Logger } from 'pino';

/** How long the process may take to end by itself once the server is closed. */
const END_MS = 1000;

/** A closed server leaves nothing open, so that the process ends; if it does not, this says why (V8). */
export function endSoon(log: Logger): void {
  setTimeout(() => {
    log.warn({ open: process.getActiveResourcesInfo() }, 'ended with something left open');
    leave(0);
  }, END_MS).unref();
}

/** Exits once the log is written, and soon in any case. */
export function leave(exitCode: number): void {
  setTimeout(() => process.exit(exitCode), END_MS);
  process.stdout.write('', () => process.exit(exitCode));
}
