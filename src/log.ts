/** What the server needs of a log, which whoever runs it hands in. It makes none (`cli/log.ts` does). */
import type { Config } from './options/config.js';
import { isThenable } from './thenable.js';
import { nowMs } from './time.js';

/** A logger of pino is one, and so is `console`. */
export interface Log {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** For who hands none in. */
export const silent: Log = { info: ignore, warn: ignore, error: ignore };

function ignore(): void {}

/**
 * `log` without the lines that are less important than `logLevel`, whatever that is at the moment. V12:
 * whoever writes a line has something else to do, so that a log that throws, or rejects, loses the line
 * and no more; `failed` is told.
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

/** Between two lines of one kind of failure, in milliseconds: peers may decide how often there is one. */
const FAILURE_EVERY_MS = 1000;

/** Lines about failures, bounded in rate. */
export class FailureLog {
  readonly #log: Pick<Log, 'error'>;
  /** When the next failure has a line again; by `nowMs()`. */
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
