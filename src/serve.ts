/**
 * A process of our own: an HTTP server that has nothing to serve but a roomcast, with its API, metrics
 * and pages.
 *
 * V3, V12: its sockets are counted from the moment they are accepted (`sockets.ts`). V7: `close` of the
 * roomcast also stops listening, after `lameDuckMs` in which only `/readyz` says so.
 *
 * Not here: what is served (`roomcast.ts`), signals and exit codes (`cli/`).
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError, shuttingDown } from './errors.js';
import { show } from './options/check.js';
import type { Config } from './options/config.js';
import type { RoomcastOptions } from './parts.js';
import { BoundedRequest } from './requests.js';
import { type CloseReport, type Composed, compose, type Roomcast } from './roomcast.js';

export interface ServeOptions extends RoomcastOptions {
  /** Aborted: `close()`, also while it is about to listen. */
  readonly signal?: AbortSignal | undefined;
}

/** A server that listens. */
export interface Served {
  /** Where: `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly roomcast: Roomcast;
  /** As that of the roomcast; nothing listens afterwards. */
  close(): Promise<CloseReport>;
}

/** Connections that may wait to be accepted; the system may allow fewer. */
const BACKLOG = 4096;
/** How often the HTTP server looks for requests that take too long. */
const TIME_LIMITS_CHECK_MS = 1000;

/**
 * Resolves once it listens. Options are those of `roomcast serve`.
 *
 * @throws ConfigError, Error of the socket such as `EADDRINUSE`, or Refusal `shutting_down` when the
 *   signal came first, all as a rejection. Nothing is left open then.
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

/** `signal`: see `ServeOptions`. */
export async function listen(composed: Composed, signal?: AbortSignal): Promise<Served> {
  const { config, roomcast, sockets, taker } = composed;
  const http = createServer({
    IncomingMessage: BoundedRequest,
    connectionsCheckingInterval: TIME_LIMITS_CHECK_MS,
    // `normalise` does, with an answer of ours.
    requireHostHeader: false,
  });
  // Also the time in which a new connection has to send the whole head of its first request.
  http.headersTimeout = config.firstFrameMs;
  http.requestTimeout = Math.max(http.requestTimeout, config.firstFrameMs);
  sockets.watch(http);
  http.on('request', taker.request);
  http.on('upgrade', taker.upgrade);
  const opening = composed.prepare().then(() => {
    if (composed.isClosing) throw shuttingDown();
    return open(http, config);
  });
  const close = () => void roomcast.close();
  composed.hostedBy({
    isListening: opening.then(
      () => true,
      () => false,
    ),
    stop() {
      signal?.removeEventListener('abort', close);
      return new Promise((resolve) => http.close(() => resolve()));
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
  return { url: urlOf(http.address() as AddressInfo), roomcast, close: () => roomcast.close() };
}

function open(http: Server, { host, port }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen({ port, host, backlog: BACKLOG }, () => {
      http.off('error', reject);
      resolve();
    });
  });
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
