/**
 * The log: for people on a terminal, JSON lines otherwise. Log lines are bounded as everything else
 * is: a reader of the log that stalls neither stops the server nor makes it grow, and lines lost to
 * it are counted and said.
 */
import type { Writable } from 'node:stream';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from '../config.js';

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

export function createLog(level: Config['logLevel'], out: Writable & { isTTY?: boolean }): Logger {
  const destination = out.isTTY
    ? pretty({
        destination: out,
        sync: true,
        singleLine: true,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss',
      })
    : bounded(out);
  return pino({ level, redact: SECRETS, timestamp: stdTimeFunctions.isoTime }, destination);
}

function bounded(out: Writable): DestinationStream {
  let lost = 0;
  let gone = false;
  out.on('error', () => {
    // The reader has left. Members have not, so the server goes on without it.
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
        out.write(`${JSON.stringify({ level: 40, time, lost, msg: 'log lines were lost' })}\n`);
        lost = 0;
      }
      out.write(line);
    },
  };
}
