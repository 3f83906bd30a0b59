/**
 * A process of our own: an HTTP server that serves nothing but a roomcast, with its API, metrics and pages.
 *
 * V3, V12: its sockets are counted from the moment they are accepted (`sockets.ts`). V7: `close` of the
 * roomcast also stops listening, after `lameDuckMs` during which only `/readyz` reports the shutdown.
 *
 * Not here: the roomcast itself (`compose.ts`), signals and exit codes (`cli/`).
 */

import { compose } from './compose.js';
import type { Composed } from './composed.js';
import { ConfigError, shuttingDown } from './errors.js';
import { listenersOf } from './listeners.js';
import { show } from './options/check.js';
import { type Config, checkConfig, trustedProxies } from './options/config.js';
import type { RoomcastOptions } from './parts.js';
import { readProxyHeaders } from './proxied.js';
import type { CloseReport, Roomcast } from './roomcast.js';

export interface ServeOptions extends RoomcastOptions {
  /** Aborting it calls `close()`, also while the server is still starting. */
  readonly signal?: AbortSignal | undefined;
}

/** A listening server. */
export interface Served {
  /** Its address: `http://127.0.0.1:8080`, or `unix:` and the path of a unix socket. */
  readonly url: string;
  /** Address of the HTTP API, metrics and pages; equal to `url` without `internalPort`. */
  readonly internalUrl: string;
  readonly roomcast: Roomcast;
  /**
   * Replaces the options, all of them or none: limits, policies, rules, keys, the log level, shutdown times.
   * Also reads the certificates again. Existing members keep their queues and rights; everything new uses
   * the new options.
   *
   * @throws ConfigError for a bad option, or `needs_restart` for a changed option that needs a restart
   */
  reload(options: Partial<Config>): void;
  /** Closes the roomcast; afterwards nothing listens any more. */
  close(): Promise<CloseReport>;
}

/**
 * Resolves once it listens. Options are those of `roomcast serve`.
 *
 * @throws ConfigError, Error of the socket such as `EADDRINUSE`, or Refusal `shutting_down` if the
 *   signal is aborted first, all as a rejection. Nothing is left open then.
 */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  const { signal, ...rest } = options ?? {};
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new ConfigError(`signal ${show(signal)} is not allowed: give an AbortSignal`, {
      code: 'bad_option',
      option: 'signal',
      value: signal,
      allowed: 'an AbortSignal',
    });
  }
  return listen(compose(options === null ? options : rest), signal);
}

/** A server that can stop listening before it closes. */
export interface Listening extends Served {
  /** Stops accepting connections; open connections stay. */
  stopListening(): void;
}

/** `signal`: see `ServeOptions`; `listeners`: those for the options of `composed`. */
export async function listen(
  composed: Composed,
  signal?: AbortSignal,
  listeners = listenersOf(composed.config, composed.log),
): Promise<Listening> {
  const { config, roomcast, sockets, taker } = composed;
  const [outside, inside] = listeners;
  const all = inside === null ? [outside] : [outside, inside];
  for (const { http } of all) {
    sockets.watch(http);
    http.on('request', taker.request);
    // Node would answer an `Expect` that it does not know with a bare 417; it may be ignored (RFC 9110, 10.1.1).
    http.on('checkExpectation', taker.request);
    http.on('upgrade', taker.upgrade);
    http.on('clientError', composed.clientError);
  }
  if (config.proxyProtocol) {
    readProxyHeaders(outside.http, {
      trusted: trustedProxies(config),
      timeoutMs: config.firstFrameMs,
      awaited: (socket) => sockets.opened(socket),
      refuse: (socket) => sockets.refuse(socket),
    });
  }
  inside?.http.on('connection', (socket) => composed.internal.add(socket));
  const urls: string[] = [];
  const opening = composed.prepare().then(async () => {
    await composed.ready;
    const { pathPrefix } = config;
    for (const listener of all) {
      if (composed.isClosing) throw shuttingDown();
      const url = await listener.open();
      urls.push(pathPrefix === '/' ? url : url + pathPrefix);
    }
  });
  const close = () => void roomcast.close();
  composed.hostedBy({
    isListening: opening.then(
      () => true,
      () => false,
    ),
    async stop() {
      signal?.removeEventListener('abort', close);
      await Promise.all(all.map((listener) => listener.close()));
    },
  });
  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close();
  try {
    await opening;
    if (composed.isClosing) throw shuttingDown();
  } catch (error) {
    await roomcast.close();
    throw error;
  }
  const [url = '', internalUrl = url] = urls;
  return {
    url,
    internalUrl,
    roomcast,
    reload(options) {
      const takeOptions = composed.prepareReload(checkConfig(options));
      const takeFiles = all.map((listener) => listener.prepareReload());
      for (const take of [takeOptions, ...takeFiles]) take();
    },
    stopListening() {
      for (const listener of all) void listener.close();
    },
    close: () => roomcast.close(),
  };
}
