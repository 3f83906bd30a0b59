/**
 * `roomcast serve`: from options to a running server, and from a signal to an exit code.
 *
 * Not here: what a shutdown does (`src/roomcast.ts`), what options there are (`src/options/`).
 */
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import type { Logger } from 'pino';
import type { ListenError } from '../listeners.js';
import type { Config } from '../options/config.js';
import { loadConfig } from '../options/sources.js';
import type { CloseReport } from '../roomcast.js';
import { type Served, serve } from '../serve.js';
import { type Flags, printConfigOption, printed } from './check-config.js';
import { CommandError, leaveWithReader } from './failure.js';
import { createLog } from './log.js';
import { notify } from './notify.js';
import { addServerOptions, noArguments, SOURCES_HELP, sourcesOf } from './options.js';

/** Exit codes of signals are 128 and their number, as a shell has them. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

const EXIT_HELP = `
SIGUSR2 writes to the log what locks are held and waited for.
SIGTERM, SIGINT and SIGHUP close in an orderly way: /readyz says no for
--lame-duck-ms, members are told to go, queues drain, requests are answered,
what is left after --shutdown-grace-ms is reset and logged. There is no reload.

Exit codes:
  0         closed after a signal
  1         could not start, or failed
  2         an option is wrong
  129, 130, 143  a second signal, SIGHUP, SIGINT or SIGTERM, ended it at once
`;

/** The command `serve`. Its action rejects with ConfigError or CommandError. */
export function serveCommand(): Command {
  const command = new Command('serve').description('Serve rooms over WebSocket and SockJS.');
  return addServerOptions(command)
    .addOption(printConfigOption())
    .allowExcessArguments()
    .addHelpText('after', `${SOURCES_HELP}\n${EXIT_HELP}`)
    .action(async ({ printConfig, ...flags }: Flags) => {
      noArguments(command);
      const strays: string[] = [];
      const config = loadConfig({ ...sourcesOf(flags), warn: (text) => strays.push(text) });
      if (printConfig) {
        process.stdout.write(printed(config));
        return;
      }
      await run(config, strays);
    });
}

/** `warnings`: what to log first. */
async function run(config: Config, warnings: readonly string[]): Promise<void> {
  // V8 makes objects of a kind that has lived long so far old from birth. Here the same lines make
  // what lives as long as a connection and what lives as long as a message, and the garbage of
  // messages, old from birth, keeps all it refers to until a full collection: pauses of 2.8 ms
  // instead of 1.4 at 8,000 messages a second, and a sixth of the CPU in many busy small rooms.
  setFlagsFromString('--no-allocation-site-pretenuring');
  // A server is for its members, and goes on without a reader of its log (V12).
  process.stdout.off('error', leaveWithReader);
  const log = createLog(config, process.stdout, process.stderr);
  for (const warning of warnings) log.warn(warning);
  // Also what a promise rejected with and nobody handled.
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, origin }, 'failed');
    leave(1);
  });

  const stop = new AbortController();
  const stopped = once(stop.signal, 'abort');
  for (const [signal, exitCode] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(exitCode);
      log.info({ signal, graceMs: config.shutdownGraceMs }, 'closing; a second signal ends it now');
      stop.abort();
    });
  }
  let served: Served | undefined;
  process.on('SIGUSR2', () => log.info({ locks: served?.roomcast.locks() }, 'locks'));
  try {
    served = await serve({ ...config, log, signal: stop.signal });
  } catch (error) {
    if (stop.signal.aborted) return endSoon(log);
    throw startError(error, config);
  }
  const { url, internalUrl } = served;
  if (process.stdout.isTTY) process.stdout.write(greeting(url, config, internalUrl));
  else log.info(nextSteps(url, config, internalUrl), 'serving');
  notify('ready', log);

  await stopped;
  notify('stopping', log);
  logClosed(await served.close(), log);
  endSoon(log);
}

/** @returns the error itself where it is not about what was asked for. */
function startError(error: unknown, config: Config): unknown {
  const { code, option } = error as ListenError;
  if (option === undefined) return error;
  if (option === 'unixSocket') {
    const { unixSocket } = config;
    return new CommandError(
      code === 'EADDRINUSE'
        ? `unix socket ${unixSocket} is taken, or is a file of another kind: give another --unix-socket`
        : `unix socket ${unixSocket} cannot be made: give a --unix-socket in a folder that may be written to`,
    );
  }
  const isInternal = option === 'internalPort';
  const port = config[option];
  const host = isInternal ? config.internalHost : config.host;
  const flag = (name: string) => `--${isInternal ? 'internal-' : ''}${name}`;
  switch (code) {
    case 'EADDRINUSE':
      return new CommandError(
        `port ${port} of ${host} is taken: give another ${flag('port')}${isInternal ? '' : ', or --port 0 for any free one'}`,
      );
    case 'EACCES':
      return new CommandError(
        `port ${port} of ${host} is not permitted: give a ${flag('port')} above 1023`,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CommandError(
        `host ${host} is not an address of this machine: give another ${flag('host')}, like 127.0.0.1 or 0.0.0.0`,
      );
    default:
      return error;
  }
}

/** At most this many members are named in the log line of a shutdown; the rest are counted. */
const NAMED = 20;

function logClosed(closed: CloseReport, log: Logger): void {
  const { drained, abandoned, unconfirmed, waiting } = closed;
  const report = {
    drained,
    abandoned: abandoned.length,
    messages: messagesOf(abandoned),
    unconfirmed: unconfirmed.length,
    unconfirmedMessages: messagesOf(unconfirmed),
    waiting,
  };
  const members = abandoned.slice(0, NAMED);
  const unsure = unconfirmed.slice(0, NAMED);
  if (abandoned.length > 0 || waiting.length > 0) {
    log.warn({ ...report, members, unsure }, 'closed; not all was delivered');
  } else if (unconfirmed.length > 0) {
    log.warn({ ...report, unsure }, 'closed; not all was confirmed');
  } else {
    log.info(report, 'closed');
  }
}

const messagesOf = (owed: CloseReport['abandoned']) =>
  owed.reduce((sum, { messages }) => sum + messages, 0);

/** How long the process may take to end by itself once the server is closed. */
const END_MS = 1000;

/** A closed server leaves nothing open, so that the process ends; if it does not, this says why (V8). */
function endSoon(log: Logger): void {
  setTimeout(() => {
    log.warn({ open: process.getActiveResourcesInfo() }, 'ended with something left open');
    leave(0);
  }, END_MS).unref();
}

/** Exits once the log is written, and soon in any case. */
function leave(exitCode: number): void {
  setTimeout(() => process.exit(exitCode), END_MS);
  process.stdout.write('', () => process.exit(exitCode));
}

/** What to try first, for a terminal. */
export function greeting(url: string, config: Config, internalUrl = url): string {
  const { websocket, sockjs, metrics, docs, chat, publish } = nextSteps(url, config, internalUrl);
  const lines = [
    `roomcast serves on ${url}`,
    '',
    `  Live page  ${internalUrl}/`,
    `  WebSocket  ${websocket}`,
    `  SockJS     ${sockjs}`,
    ...(metrics === undefined ? [] : [`  Metrics    ${metrics}`]),
    `  HTTP API   ${docs}`,
    '',
    'Chat: in two terminals',
    `  ${chat}`,
    'and say in each',
    '  {"type":"join","room":"chat:lobby"}',
    '  {"type":"publish","room":"chat:lobby","data":"hello"}',
    'Publish from outside:',
    `  ${publish}`,
    '',
  ];
  return `${lines.join('\n')}\n`;
}

function nextSteps(url: string, config: Config, internalUrl: string) {
  const websocket = `${url.replace(/^http/, 'ws')}/ws`;
  const key = config.apiKey.length > 0 ? ' -H "authorization: Bearer $KEY"' : '';
  return {
    url,
    websocket,
    sockjs: `${url}/sockjs`,
    metrics: config.metrics ? `${internalUrl}/metrics` : undefined,
    docs: `${internalUrl}/docs`,
    chat: `npx wscat -c ${websocket}`,
    publish: `curl ${internalUrl}/v1/rooms/chat:lobby/messages${key} -H 'content-type: application/json' -d '{"data":"hello"}'`,
  };
}
