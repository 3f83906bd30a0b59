/**
 * The sockets that a server of our own listens on: the public one (a port, a unix socket, or what a
 * service manager hands over), with TLS or without, and the internal one. V12: certificates that cannot
 * be read when they change are told to the log, and the ones before stay.
 *
 * Not here: what is served (`compose.ts`), how sockets are counted (`sockets.ts`).
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

/** Connections that may wait to be accepted; the system may allow fewer. */
const BACKLOG = 4096;
/** How often the HTTP server looks for requests that take too long. */
const TIME_LIMITS_CHECK_MS = 1000;
/** How often files are looked at for changes. */
const CHANGED_CHECK_MS = 2000;
/** The first file descriptor that systemd hands over (sd_listen_fds). */
const FIRST_FD = 3;

/** Why a socket does not listen: the error of Node, and the option that says where. */
export interface ListenError extends NodeJS.ErrnoException {
  readonly option?: 'port' | 'internalPort' | 'unixSocket';
}

/** A server of Node that does not listen yet. */
export interface Listener {
  readonly http: Server;
  /** Resolves once it listens, with where: `https://127.0.0.1:8080`, or `unix:/run/roomcast.sock`. */
  open(): Promise<string>;
  /** Reads the files of its options again; what it returns uses them. @throws ConfigError */
  prepareReload(): () => void;
  /** Accepts nothing more; resolves when no connection is left. May be called again. */
  close(): Promise<void>;
}

/** The public one first. @throws ConfigError where the files of TLS are none */
export function listenersOf(config: Config, log: Log): readonly [Listener, Listener | null] {
  return [publicListener(config, log), internalListener(config)];
}

/** @throws ConfigError where the files of TLS are none */
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
      log.info({ files }, 'the certificate was read again');
    } catch (error) {
      log.error({ err: error, files }, 'the certificate cannot be read; the one before stays');
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

/** Always in clear text: it is not for the public. Null where it has no port of its own. */
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
    // `normalise` does, with an answer of ours.
    requireHostHeader: false,
    keepAliveTimeout: keepAliveMs,
    // Also the time in which a new connection has to send the whole head of its first request.
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
    const allowed = 'PEM files of a certificate and the key that belongs to it';
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

/** How many sockets a service manager hands over to this process. */
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
 * What closes it: the same promise each time. `http.close` would also end connections whose first request
 * is on its way (Node 26), so it only ends what it has of timers, once no connection is left.
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
 * Removes the file of a unix socket that nobody listens on any more. Anything else stays, since a file
 * that is no socket refuses connections too; listening will say that it is there.
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
