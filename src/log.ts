/** The log interface that the server needs. The caller supplies the log; `cli/log.ts` makes the CLI's. */
import type { Config } from './options/config.js';
import { isThenable } from './thenable.js';
import { nowMs } from './time.js';

/** Satisfied by a pino logger and by `console`. */
export interface Log {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** Used if the caller supplies no log. */
export const silent: Log = { info: ignore, warn: ignore, error: ignore };

function ignore(): void {}

/**
 * Wraps `log` and drops lines below the current `logLevel`. V12: a log that throws or rejects loses only
 * the line; the code that wrote it continues and `failed` is called.
 */
export function atLevel(log: Log, config: Pick<Config, 'logLevel'>, failed: () => void): Log {
  const write =
    (name: keyof Log, ...below: Config['logLevel'][]) =>
    (fields: object, text: string) => {
      if (below.includes(config.logLevel)) return;
      try {
        const answer: unknown = log[name](fields, text);
        if (isThenable(answer)) answer.then(undefined, failed);
      } catch {
        failed();
      }
    };
  return {
    info: write('info', 'warn', 'error', 'fatal', 'silent'),
    warn: write('warn', 'error', 'fatal', 'silent'),
    error: write('error', 'fatal', 'silent'),
  };
}

/** Milliseconds between two lines of one kind of failure: peers may decide how often it occurs. */
const FAILURE_EVERY_MS = 1000;

/** Logs failures, limited in rate. */
export class FailureLog {
  readonly #log: Pick<Log, 'error'>;
  /** Until this time (`nowMs()`), failures are only counted. */
  #silentUntil = 0;
  #unlogged = 0;

  constructor(log: Pick<Log, 'error'>) {
    this.#log = log;
  }

  add(fields: object, text: string): void {
    const now = nowMs();
    if (now < this.#silentUntil) {
      this.#unlogged += 1;
      return;
    }
    this.#silentUntil = now + FAILURE_EVERY_MS;
    const unlogged = this.#unlogged;
    this.#unlogged = 0;
    this.#log.error({ ...fields, unlogged }, text);
  }
}
