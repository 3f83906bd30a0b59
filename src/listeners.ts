/**
 * The listening sockets of a server of our own: the public one (a port, a unix socket, or one passed by a
 * service manager), with or without TLS, and the internal one. V12: if changed certificates cannot be
 * read, the error is logged and the previous ones stay in use.
 *
 * Not here: request handling (`compose.ts`), counting of sockets (`sockets.ts`).
 */
import { lstatSync, readFileSync, unlinkSync, unwatchFile, watchFile } from 'node:fs';
import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type ListenOptions, Server as NetServer } from 'node:net';
import { createSecureContext } from 'node:tls';
import { ConfigError } from './errors.js';
import type { Log } from './log.js';
import { show } from './options/check.js';
import type { Config } from './options/config.js';
import { BoundedRequest } from './requests.js';

/** Connections that may wait to be accepted; the system may cap it lower. */
const BACKLOG = 4096;
/** Milliseconds between the HTTP server's checks for requests that take too long. */
const TIME_LIMITS_CHECK_MS = 1000;
/** Milliseconds between checks of the certificate files for changes. */
const CHANGED_CHECK_MS = 2000;
/** The first file descriptor that systemd passes (sd_listen_fds). */
const FIRST_FD = 3;

/** Why a socket cannot listen: Node's error, with the option that names the address. */
export interface ListenError extends NodeJS.ErrnoException {
  readonly option?: 'port' | 'internalPort' | 'unixSocket';
}

/** A server of Node that is not listening yet. */
export interface Listener {
  readonly http: Server;
  /** Listens; resolves with the address: `https://127.0.0.1:8080`, or `unix:/run/roomcast.sock`. */
  open(): Promise<string>;
  /** Reads the certificate files again; returns a function that puts them in use. @throws ConfigError */
  prepareReload(): () => void;
  /** Stops accepting; resolves when no connection is left. May be called again. */
  close(): Promise<void>;
}

/** The public listener, then the internal one. @throws ConfigError if the TLS files cannot be used */
export function listenersOf(config: Config, log: Log): readonly [Listener, Listener | null] {
  return [publicListener(config, log), internalListener(config)];
}

/** @throws ConfigError if the TLS files cannot be used */
function publicListener(config: Config, log: Log, env = process.env): Listener {
  const { unixSocket, host, port } = config;
  const isTls = config.tlsCert !== '';
  const tls = isTls ? tlsServer(config) : null;
  const http = tls ?? createServer(httpOptions(config));
  const where: ListenOptions =
    activatedFds(env) > 0
      ? ({ fd: FIRST_FD } as ListenOptions)
      : unixSocket === ''
        ? { host, port }
        : { path: unixSocket };
  const files = isTls ? [config.tlsCert, config.tlsKey] : [];
  const prepareReload = () => {
    if (tls === null) return () => {};
    const secrets = secretsOf(config);
    checkSecrets(config, () => createSecureContext(secrets));
    return () => tls.setSecureContext(secrets);
  };
  const reload = () => {
    try {
      prepareReload()();
      log.info({ files }, 'the certificate was reloaded');
    } catch (error) {
      log.error(
        { err: error, files },
        'cannot reload the certificate; the previous one stays in use',
      );
    }
  };
  const close = closer(http);
  return {
    http,
    async open() {
      await listen(http, where, unixSocket === '' ? 'port' : 'unixSocket');
      for (const file of files) {
        watchFile(file, { interval: CHANGED_CHECK_MS, persistent: false }, reload);
      }
      return urlOf(http, isTls ? 'https' : 'http');
    },
    prepareReload,
    close() {
      for (const file of files) unwatchFile(file, reload);
      return close();
    },
  };
}

/** Always plain HTTP, since it is not public. Null without `internalPort`. */
function internalListener(config: Config): Listener | null {
  const { internalPort: port, internalHost: host } = config;
  if (port === 0) return null;
  const http = createServer(httpOptions(config));
  return {
    http,
    async open() {
      await listen(http, { host, port }, 'internalPort');
      return urlOf(http, 'http');
    },
    prepareReload: () => () => {},
    close: closer(http),
  };
}

function httpOptions({ keepAliveMs, requestMs, firstFrameMs }: Config): ServerOptions {
  return {
    IncomingMessage: BoundedRequest as never,
    connectionsCheckingInterval: TIME_LIMITS_CHECK_MS,
    // `normalise` checks it and answers with our own error.
    requireHostHeader: false,
    keepAliveTimeout: keepAliveMs,
    // Also limits how long a new connection may take to send the head of its first request.
    headersTimeout: firstFrameMs,
    requestTimeout: Math.max(requestMs, firstFrameMs),
  };
}

/** @throws ConfigError */
function tlsServer(config: Config) {
  const handshakeTimeout = config.firstFrameMs;
  const secrets = secretsOf(config);
  return checkSecrets(config, () =>
    createTlsServer({ ...httpOptions(config), ...secrets, handshakeTimeout }),
  );
}

/** @throws ConfigError where `use` throws */
function checkSecrets<Result>(config: Config, use: () => Result): Result {
  try {
    return use();
  } catch (error) {
    const allowed = 'PEM files of a certificate and its key';
    const { message } = error as Error;
    throw new ConfigError(
      `tlsCert ${show(config.tlsCert)} and tlsKey ${show(config.tlsKey)} cannot be used (${message}): give ${allowed}`,
      { code: 'bad_option', option: 'tlsCert', value: config.tlsCert, allowed },
    );
  }
}

/** @throws ConfigError */
function secretsOf({ tlsCert, tlsKey }: Config): { cert: Buffer; key: Buffer } {
  const read = (option: string, file: string) => {
    try {
      return readFileSync(file);
    } catch (error) {
      const allowed = 'the path of a PEM file';
      const { code } = error as NodeJS.ErrnoException;
      throw new ConfigError(`${option} ${show(file)} cannot be read (${code}): give ${allowed}`, {
        code: 'bad_option',
        option,
        value: file,
        allowed,
      });
    }
  };
  return { cert: read('tlsCert', tlsCert), key: read('tlsKey', tlsKey) };
}

/** Number of sockets that a service manager passes to this process. */
function activatedFds({ LISTEN_PID, LISTEN_FDS }: NodeJS.ProcessEnv): number {
  return LISTEN_PID === String(process.pid) ? Number(LISTEN_FDS) || 0 : 0;
}

/** @throws ListenError as a rejection */
async function listen(
  http: Server,
  where: ListenOptions,
  option: ListenError['option'],
): Promise<void> {
  try {
    if (where.path !== undefined) await removeStale(where.path);
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject);
      http.listen({ ...where, backlog: BACKLOG }, () => {
        http.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    throw Object.assign(error as Error, { option });
  }
}

/**
 * Returns a function that closes `http`, with the same promise each time. In Node 26 `http.close` also ends
 * connections whose first request is still arriving. So the listener is closed first, and `http.close`
 * runs, for its timers, only when no connection is left.
 */
function closer(http: Server): () => Promise<void> {
  let closed: Promise<void> | undefined;
  return () => {
    closed ??= new Promise<void>((resolve) => {
      NetServer.prototype.close.call(http, () => {
        http.close();
        resolve();
      });
    });
    return closed;
  };
}

/**
 * Removes the file of a unix socket on which nothing listens any more. Other files stay, since they
 * refuse connections too; `listen` then reports that the path exists.
 */
async function removeStale(path: string): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const isRefused = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'));
  });
  if (isRefused) unlinkSync(path);
}

function urlOf(http: Server, scheme: 'http' | 'https'): string {
  const where = http.address() as AddressInfo | string | null;
  if (where === null || typeof where === 'string') return `unix:${where ?? ''}`;
  const { address, family, port } = where;
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
