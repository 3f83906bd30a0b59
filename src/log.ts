/** What the server needs of a log, which whoever runs it hands in. It makes none (`cli/log.ts` does). */
import type { Config } from './options/config.js';

/** A logger of pino is one, and so is `console`. */
export interface Log {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** For who hands none in. */
export const silent: Log = { info: ignore, warn: ignore, error: ignore };

function ignore(): void {}

/** `log` without the lines that are less important than `level`. */
export function atLevel(log: Log, level: Config['logLevel']): Log {
  const has = (...levels: Config['logLevel'][]) => levels.includes(level);
  const isSilent = has('silent', 'fatal');
  return {
    info: isSilent || has('warn', 'error') ? ignore : log.info.bind(log),
    warn: isSilent || has('error') ? ignore : log.warn.bind(log),
    error: isSilent ? ignore : log.error.bind(log),
  };
}
