/**
 * The log: text for people or lines of JSON, levels by name in both. Log lines are bounded as everything else
 * is: a reader of the log that stalls neither stops the server nor makes it grow, and lines lost to
 * it are counted and said.
 *
 * For people it is a line or two made here: pino-pretty and what it brings are 1.6 MB.
 */
import type { Writable } from 'node:stream';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Config } from '../options/config.js';

/** Bytes that may wait for a reader of the log. */
const BACKLOG = 1_048_576;

/** Wherever an option or a request is logged whole, these stay out of it. */
const SECRETS = [
  'apiKey',
  '*.apiKey',
  'headers.authorization',
  '*.headers.authorization',
  'headers["x-api-key"]',
  '*.headers["x-api-key"]',
];

/** `complaints`: told, once, when the log cannot be written any more. */
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
  // Who reads the one may have read the other.
  complaints.on('error', () => {});
  out.on('error', ({ message }) => {
    // The reader has left, or the disk is full. Members are there, so the server goes on without it.
    if (!gone) complaints.write(`roomcast: goes on without a log: ${message}\n`);
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

/** What JSON would change, and has one line: below, it can be copied as it is. */
const isQuoted = (value: unknown) => typeof value === 'string' && /^[^\n"]*"[^\n]*$/.test(value);

/** A line of JSON as people read it: when, how bad, what, and the rest; the stack of an error below. */
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
  // What a peer had a part in must not be obeyed by the terminal.
  return `[${clock}] ${level.toUpperCase()} ${msg}${more}${below}${stack}`
    .replace(/[^\P{Cc}\n]/gu, '?')
    .concat('\n');
}
