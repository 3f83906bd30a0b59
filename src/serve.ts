/**
 * A process of our own: an HTTP server that has nothing to serve but a roomcast, with its API, metrics
 * and pages.
 *
 * V3, V12: its sockets are counted from the moment they are accepted (`sockets.ts`). V7: `close` of the
 * roomcast also stops listening, after `lameDuckMs` in which only `/readyz` says so.
 *
 * Not here: what is served (`roomcast.ts`), signals and exit codes (`cli/`).
 */
import { ConfigError, shuttingDown } from './errors.js';
import { internalListener, publicListener } from './listeners.js';
import { show } from './options/check.js';
import type { RoomcastOptions } from './parts.js';
import { type CloseReport, type Composed, compose, type Roomcast } from './roomcast.js';

export interface ServeOptions extends RoomcastOptions {
  /** Aborted: `close()`, also while it is about to listen. */
  readonly signal?: AbortSignal | undefined;
}

/** A server that listens. */
export interface Served {
  /** Where: `http://127.0.0.1:8080`, or `unix:` and the path of a unix socket. */
  readonly url: string;
  /** Where the HTTP API, metrics and pages are; the same without `internalPort`. */
  readonly internalUrl: string;
  readonly roomcast: Roomcast;
  /** As that of the roomcast; nothing listens afterwards. */
  close(): Promise<CloseReport>;
}

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
  const { config, roomcast, sockets, taker, log } = composed;
  const outside = publicListener(config, log);
  const inside = internalListener(config);
  const all = inside === null ? [outside] : [outside, inside];
  for (const { http } of all) {
    sockets.watch(http);
    http.on('request', taker.request);
    http.on('upgrade', taker.upgrade);
  }
  inside?.http.on('connection', (socket) => composed.internal.add(socket));
  const urls: string[] = [];
  const opening = composed.prepare().then(async () => {
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
  return { url, internalUrl, roomcast, close: () => roomcast.close() };
}
