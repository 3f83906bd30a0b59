/**
 * `roomcast serve`: loads the options, starts the server and closes it on a signal; sets the exit code.
 *
 * Not here: the shutdown (`src/shutdown.ts`), the options (`src/options/`).
 */
import { once } from 'node:events';
import { isatty } from 'node:tty';
import { getHeapStatistics } from 'node:v8';
import { Command } from 'commander';
import type { Logger } from 'pino';
import { ConfigError } from '../errors.js';
import type { ListenError } from '../listeners.js';
import type { Config } from '../options/config.js';
import { loadConfig } from '../options/sources.js';
import { workersOf } from '../options/workers.js';
import type { CloseReport } from '../roomcast.js';
import { type Flags, printConfigOption, printed } from './check-config.js';
import { CommandError, leaveWithReader } from './failure.js';
import { collectStart, makeObjectsYoung } from './heap.js';
import { createLog } from './log.js';
import { notify } from './notify.js';
import { addServerOptions, noArguments, SOURCES_HELP, sourcesOf } from './options.js';
import { endSoon, leave } from './process.js';

/** Exit codes of signals are 128 plus the number of the signal, as in a shell. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

const EXIT_HELP = `
SIGUSR2 logs the locks that are held and waited for.
SIGHUP reloads the file, the environment's files and the certificates:
limits, policies, rules, keys, --log-level and the times of a shutdown change,
all or none. If one needs a restart, its name is logged and nothing changes.
With --workers it also replaces the workers one after the other, so that all
options change except the listen addresses and the number of workers.
SIGTERM and SIGINT, and on a terminal SIGHUP, shut the server down: /readyz
fails for --lame-duck-ms, members are told to disconnect, queues drain, requests
are answered; what is left after --shutdown-grace-ms is reset and logged.

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
      const load = (warn: (text: string) => void) => loadConfig({ ...sourcesOf(flags), warn });
      const config = load((text) => strays.push(text));
      if (printConfig) {
        process.stdout.write(printed(config));
        return;
      }
      await run(config, strays, load);
    });
}

/** @param warnings logged first. @param load reads the options again */
async function run(
  config: Config,
  warnings: readonly string[],
  load: (warn: (text: string) => void) => Config,
): Promise<void> {
  makeObjectsYoung();
  // A server serves its members, and continues without a reader of its log (V12).
  process.stdout.off('error', leaveWithReader);
  const log = createLog(config, process.stdout, process.stderr);
  for (const warning of warnings) log.warn(warning);
  // Unhandled rejections end up here too.
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, origin }, 'failed');
    leave(1);
  });

  const stop = new AbortController();
  const stopped = once(stop.signal, 'abort');
  const end = (signal: keyof typeof SIGNALS) => {
    if (stop.signal.aborted) process.exit(SIGNALS[signal]);
    log.info({ signal, graceMs: config.shutdownGraceMs }, 'closing; a second signal ends it now');
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(signal));
  let serving: Serving | undefined;
  process.on('SIGHUP', () => {
    // The terminal was closed.
    if (isatty(0)) end('SIGHUP');
    // Until it serves there is nothing to reload.
    else if (serving !== undefined) reload(serving, load, log);
  });
  process.on('SIGUSR2', () => serving?.locks());
  try {
    serving = await (workersOf(config) === 1 ? alone : severalWorkers)(config, log, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return endSoon(log);
    throw startError(error, config);
  }
  collectStart();
  const { url, internalUrl, facts } = serving;
  if (process.stdout.isTTY) process.stdout.write(greeting(url, config, internalUrl));
  else log.info({ ...nextSteps(url, config, internalUrl), ...facts }, 'serving');
  notify('ready', log);

  await stopped;
  notify('stopping', log);
  logClosed(await serving.close(), log);
  endSoon(log);
}

/** A running server, in this process or in several. */
interface Serving {
  readonly url: string;
  readonly internalUrl: string;
  /** For the log. */
  readonly facts: object;
  /** @throws ConfigError if the options cannot be changed to these */
  reload(config: Config): void;
  /** Logs the locks that are held and waited for. */
  locks(): void;
  close(): Promise<CloseReport & { readonly killed?: readonly number[] }>;
}

async function alone(config: Config, log: Logger, signal: AbortSignal): Promise<Serving> {
  const { serve } = await import('../serve.js');
  const { url, internalUrl, roomcast, reload, close } = await serve({
    ...config,
    // It is 1 here, or 0 on a machine with one core.
    workers: 1,
    log,
    signal,
  });
  return {
    url,
    internalUrl,
    facts: {},
    reload(next) {
      reload({ ...next, workers: next.workers === config.workers ? 1 : next.workers });
      log.level = next.logLevel;
      log.info('the options were read again');
    },
    locks: () => log.info({ locks: roomcast.locks() }, 'locks'),
    close,
  };
}

async function severalWorkers(config: Config, log: Logger, signal: AbortSignal): Promise<Serving> {
  const { Primary } = await import('../cluster/primary.js');
  const primary = new Primary({ config, log, entry: new URL('worker.js', import.meta.url) });
  const close = () => void primary.close();
  signal.addEventListener('abort', close);
  const { url, internalUrl } = await primary.start();
  signal.removeEventListener('abort', close);
  // The memory limit of each worker's heap.
  const heapMb = Math.round(getHeapStatistics().heap_size_limit / 2 ** 20);
  return {
    url,
    internalUrl,
    facts: { workers: primary.slots, heapMb, heapMbOfAll: primary.slots * heapMb },
    reload(next) {
      primary.restart(next);
      log.level = next.logLevel;
      log.info('the options were read again');
    },
    locks: () => primary.locks(),
    close: () => primary.close(),
  };
}

/** Reloads the options. If they are refused, logs why and keeps the current ones. */
function reload(
  serving: Serving,
  load: (warn: (text: string) => void) => Config,
  log: Logger,
): void {
  try {
    serving.reload(load((text) => log.warn(text)));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const faults = error.errors.map(({ code, message }) => ({ code, message }));
    log.error({ faults }, 'the options cannot be changed; the current ones stay');
  }
}

/** @returns a CommandError if an option caused the error, else the error itself */
function startError(error: unknown, config: Config): unknown {
  const { code, option } = error as ListenError;
  if (option === undefined) return error;
  if (option === 'unixSocket') {
    const { unixSocket } = config;
    return new CommandError(
      code === 'EADDRINUSE'
        ? `unix socket ${unixSocket} is in use, or is a file of another kind: give another --unix-socket`
        : `unix socket ${unixSocket} cannot be created: give a --unix-socket in a writable folder`,
    );
  }
  const isInternal = option === 'internalPort';
  const port = config[option];
  const host = isInternal ? config.internalHost : config.host;
  const flag = (name: string) => `--${isInternal ? 'internal-' : ''}${name}`;
  switch (code) {
    case 'EADDRINUSE':
      return new CommandError(
        `port ${port} of ${host} is in use: give another ${flag('port')}${isInternal ? '' : ', or --port 0 for any free one'}`,
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

function logClosed(closed: Awaited<ReturnType<Serving['close']>>, log: Logger): void {
  const { drained, abandoned, unconfirmed, waiting, killed } = closed;
  const report = {
    drained,
    abandoned: abandoned.length,
    messages: messagesOf(abandoned),
    unconfirmed: unconfirmed.length,
    unconfirmedMessages: messagesOf(unconfirmed),
    waiting,
    killed,
  };
  const members = abandoned.slice(0, NAMED);
  const unsure = unconfirmed.slice(0, NAMED);
  if (abandoned.length > 0 || waiting.length > 0 || (killed?.length ?? 0) > 0) {
    log.warn({ ...report, members, unsure }, 'closed; not all was delivered');
  } else if (unconfirmed.length > 0) {
    log.warn({ ...report, unsure }, 'closed; not all was confirmed');
  } else {
    log.info(report, 'closed');
  }
}

const messagesOf = (owed: CloseReport['abandoned']) =>
  owed.reduce((sum, { messages }) => sum + messages, 0);

/** The text for a terminal: URLs and first steps. */
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
