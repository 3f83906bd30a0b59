/**
 * The log: text for people or lines of JSON, with level names in both. Its buffer is bounded: a reader
 * that stalls neither stops the server nor makes it grow, and lost lines are counted and reported.
 *
 * The text format is made here: pino-pretty and its dependencies are 1.6 MB.
 */
import type { Writable } from 'node:stream';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Config } from '../options/config.js';

/** Bytes buffered for a slow reader of the log; further lines are dropped. */
const BACKLOG = 1_048_576;

/** Fields that are removed from logged options and requests. */
const SECRETS = [
  'apiKey',
  '*.apiKey',
  'headers.authorization',
  '*.headers.authorization',
  'headers["x-api-key"]',
  '*.headers["x-api-key"]',
];

/** @param complaints gets one line if the log can no longer be written */
export function createLog(
  { logLevel: level, logFormat }: Pick<Config, 'logLevel' | 'logFormat'>,
  out: Writable & { isTTY?: boolean },
  complaints: Writable,
): Logger {
  const isText = logFormat === 'text' || (logFormat === 'auto' && out.isTTY === true);
  const destination = bounded(out, complaints, isText ? readable : (line) => line);
  const formatters = { level: (name: string) => ({ level: name }) };
  return pino(
    { level, formatters, redact: SECRETS, timestamp: stdTimeFunctions.isoTime },
    destination,
  );
}

function bounded(
  out: Writable,
  complaints: Writable,
  written: (line: string) => string,
): DestinationStream {
  let lost = 0;
  let gone = false;
  // Its reader may be gone too: both are often the same terminal.
  complaints.on('error', () => {});
  out.on('error', ({ message }) => {
    // The reader has gone, or the disk is full. The server has members, so it continues without a log.
    if (!gone) complaints.write(`roomcast: continuing without a log: ${message}\n`);
    gone = true;
  });
  return {
    write(line) {
      if (gone) return;
      if (out.writableLength > BACKLOG) {
        lost += 1;
        return;
      }
      if (lost > 0) {
        const time = new Date().toISOString();
        const line = { level: 'warn', time, lost, msg: 'log lines were lost' };
        out.write(written(`${JSON.stringify(line)}\n`));
        lost = 0;
      }
      out.write(written(line));
    },
  };
}

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly err?: { readonly stack?: string };
}

/** One-line texts with quotes, which JSON would escape: written below the line, they can be copied. */
const isQuoted = (value: unknown) => typeof value === 'string' && /^[^\n"]*"[^\n]*$/.test(value);

/** Formats a line of JSON for people: time, level, message and fields; the stack of an error below. */
function readable(line: string): string {
  const {
    level,
    time,
    msg = '',
    err,
    pid: _pid,
    hostname: _host,
    ...rest
  } = JSON.parse(line) as Line & Record<string, unknown>;
  const clock = new Date(time).toTimeString().slice(0, 8);
  const quoted = Object.entries(rest).filter(([, value]) => isQuoted(value));
  for (const [name] of quoted) delete rest[name];
  const more = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`;
  const below = quoted.map(([name, value]) => `\n  ${name}: ${value}`).join('');
  const stack = err?.stack === undefined ? '' : `\n${err.stack}`;
  // Parts may come from a peer: replace control characters, which the terminal would obey.
  return `[${clock}] ${level.toUpperCase()} ${msg}${more}${below}${stack}`
    .replace(/[^\P{Cc}\n]/gu, '?')
    .concat('\n');
}
