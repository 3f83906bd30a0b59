/**
 * `roomcast demo`: a server, members of which some stop reading every minute, and the live page to watch.
 *
 * Not here: the members (`load/crowd.ts`), measuring (`roomcast load`).
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { ConfigError } from '../errors.js';
import { Crowd } from '../load/crowd.js';
import { LoadError } from '../load/error.js';
import { CommandError } from './failure.js';

/** Four hex digits: the room is demo:feed-0000. */
const TAG = 'feed';
const MEMBERS = 100;
const SLOW = 10;
const PER_SECOND = 25;
const BYTES = 16_000;
/** Seconds of each minute in which all members read, and in which the slow ones do not. */
const CALM = 25;
const STALLED = 35;
/** Seconds within which members that read again should have received what they missed, or its gaps. */
const CAUGHT_UP_WITHIN = 10;

/** Log levels that the demo prints. */
const PRINTED: ReadonlySet<string> = new Set(['warn', 'error', 'fatal']);

const main = fileURLToPath(new URL('main.js', import.meta.url));

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
const now = () => new Date().toTimeString().slice(0, 8);
const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000));

/** The command `demo`; runs until a signal. Its action rejects with ConfigError or CommandError. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'Start a server with members of which some stop reading every minute, and a page to watch.',
    )
    .option('--port <port>', 'port of the server; 0 for any free one', '8080')
    .option('--url <url>', 'URL of a running server, instead of starting one')
    .action(async ({ port, url }: { port: string; url?: string }) => {
      if (url !== undefined && !URL.canParse(url)) {
        throw new ConfigError(
          `--url ${JSON.stringify(url)} is not allowed: give one like http://127.0.0.1:8080`,
        );
      }
      await demo(url?.replace(/\/$/, '') ?? (await serve(port)));
    });
}

/** Starts a server and resolves with its URL. This process exits when the server does, with its code. */
async function serve(port: string): Promise<string> {
  const child = spawn(
    process.execPath,
    // Members that do not read answer no heartbeats, but must stay connected for the whole phase.
    [main, 'serve', '--port', port, '--heartbeat-ms', '60000', '--log-format', 'json'],
    // In a process group of its own, so that it gets no signal of the terminal beside those from here.
    { stdio: ['ignore', 'pipe', 'inherit'], detached: true },
  );
  child.once('exit', (code) => process.exit(code ?? 1));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill('SIGTERM'));
  }
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as { msg: string; url: string; level: string };
      if (said.msg === 'serving') resolve(said.url);
      else if (PRINTED.has(said.level)) say(`${now()}  server: ${said.msg}`);
    });
  });
}

/** Waits until all members received every message or its gap, at most `CAUGHT_UP_WITHIN` seconds. */
async function caughtUp(crowd: Crowd): Promise<void> {
  const due = crowd.published * MEMBERS;
  for (let n = 0; n < CAUGHT_UP_WITHIN && crowd.received + crowd.missed < due; n += 1)
    await seconds(1);
}

async function demo(url: string): Promise<never> {
  const scenario = {
    members: `${MEMBERS}`,
    cohorts: [`stalled=${SLOW}`],
    rate: `${PER_SECOND}/s`,
    size: `${BYTES}`,
    roomPrefix: 'demo:',
  };
  const crowd = await Crowd.join(url, scenario, TAG).catch((error: unknown) => {
    throw error instanceof LoadError ? new CommandError(error.message) : error;
  });
  crowd.publish();
  say(`
  Open  ${url}/  and keep it in view.

${MEMBERS} members are in the room ${crowd.room}. Each gets ${PER_SECOND} messages of ${BYTES / 1000} kB a second.
Every minute ${SLOW} of them stop reading for ${STALLED} seconds. Look at

  the amber area     some 10 s later the kernel buffers are full, and ${SLOW} members are slow
  the blue line      stays where it is: the other ${MEMBERS - SLOW} get every message as fast as before
  Queue memory       the memory for the ${SLOW} is bounded ...
  Deliveries, drops  ... and the rest is dropped. They will be told exactly what
  Members            how far behind each one is; in Talk you can join ${crowd.room} or any other room

Ctrl-C ends it.
`);
  for (;;) {
    await seconds(CALM);
    const before = crowd.missed;
    say(`${now()}  ${SLOW} members stop reading`);
    crowd.disturb();
    await seconds(STALLED);
    crowd.behave();
    await caughtUp(crowd);
    const missed = crowd.missed - before;
    say(
      `${now()}  they read again, and are told of ${missed.toLocaleString('en-US')} messages that they missed`,
    );
    const ended = Object.entries(crowd.ended).map(([why, times]) => `${times} × ${why}`);
    if (ended.length > 0) say(`${now()}  the server has disconnected ${ended.join(', ')}`);
  }
}
