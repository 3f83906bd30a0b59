/** Ends the process of a server. */
import type { Logger } from 'pino';

/** Time for the process to end by itself after the server has closed, in ms. */
const END_MS = 1000;

/** A closed server leaves nothing open, so the process ends; if it does not, logs what is open (V8). */
export function endSoon(log: Logger): void {
  setTimeout(() => {
    log.warn({ open: process.getActiveResourcesInfo() }, 'ended with resources still open');
    leave(0);
  }, END_MS).unref();
}

/** Exits once the log is written, or after `END_MS`. */
export function leave(exitCode: number): void {
  setTimeout(() => process.exit(exitCode), END_MS);
  process.stdout.write('', () => process.exit(exitCode));
}
