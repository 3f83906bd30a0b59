/**
 * Who may use /v1. With API keys: whoever has one. Without: whoever sits on this machine, and not
 * a page in a browser there of a foreign site, by its own name or a rebound one, nor a proxy in the name
 * of others.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BlockList, type Socket } from 'node:net';
import { Refusal } from '../errors.js';
import { type Config, trustedProxies } from '../options/config.js';
import { addressOf } from '../transport/address.js';
import type { HttpDeps } from './deps.js';

/** Throws a `Refusal` at a request that may not be answered. */
export type Guard = (request: IncomingMessage) => void;

export function createGuard(config: Config): Guard {
  const local = loopbackGuard(config);
  let keys = config.apiKey;
  let withKey = keyGuard(keys);
  return (request) => {
    // A server that runs may be given others.
    if (config.apiKey !== keys) {
      keys = config.apiKey;
      withKey = keyGuard(keys);
    }
    (keys.length > 0 ? withKey : local)(request);
  };
}

/**
 * Who watches over the server has to be answered, wherever that is; and the client is for the pages of
 * those who connect, of whatever origin.
 */
const OPEN = /^\/(?:healthz|readyz|client\.js)(?:\?|$)/;

/**
 * Who may ask for metrics and pages, and whether there is an API at all: with an internal port, only
 * there, and without a key. Without one, they are for whoever may use /v1; a page of it asks for the
 * key, so it is open to all where there is one.
 */
export function createEntryGuard({
  config,
  isInternal,
}: Pick<HttpDeps, 'config' | 'isInternal'>): (request: IncomingMessage) => boolean {
  const local = loopbackGuard(config);
  const metrics = createGuard(config);
  return (request) => {
    const { url = '' } = request;
    if (isInternal(request) || OPEN.test(url)) return true;
    if (config.internalPort > 0) return false;
    // /v1 but its description has a guard of its own.
    if (url.startsWith('/v1/') && !url.startsWith('/v1/openapi.json')) return true;
    if (config.apiKey.length === 0) local(request);
    else if (url.startsWith('/metrics')) metrics(request);
    return true;
  };
}

/** Digests have one length, and all of them are compared: time tells neither key nor place. */
function keyGuard(keys: readonly string[]): Guard {
  const digests = keys.map(digest);
  return ({ headers }) => {
    const { authorization } = headers;
    if (authorization === undefined) {
      throw new Refusal('unauthorised', 'Send the header "Authorization: Bearer <API key>".');
    }
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '';
    const given = digest(token);
    let matches = 0;
    for (const each of digests) matches += timingSafeEqual(each, given) ? 1 : 0;
    if (matches === 0) throw new Refusal('unauthorised', 'The API key is not one of this server.');
  };
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1)$/;
const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;
/** A proxy adds one of these; `X-Forwarded-For` is believed where `trustProxy` says so. */
const FORWARDING = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'] as const;

function loopbackGuard(config: Config): Guard {
  const proxies = trustedProxies(config);
  const nobody = new BlockList();
  /** Looking at an address costs more than the rest of a request's way here. */
  const local = new WeakSet<Socket>();
  return (request) => {
    const { headers, socket } = request;
    const forwarding = FORWARDING.find((name) => headers[name] !== undefined);
    if (forwarding !== undefined) {
      const address = addressOf(request, proxies);
      // A trusted proxy has said on whose behalf it asks; anything else hides who does.
      if (address === addressOf(request, nobody)) {
        throw forbidden(`this request came through a proxy (it has ${forwarding})`);
      }
      checkLoopback(address);
    } else if (!local.has(socket)) {
      checkLoopback(addressOf(request, nobody));
      local.add(socket);
    }
    // As the simplest proxy does, and no browser or tool of today.
    if (request.httpVersion === '1.0')
      throw forbidden('this request is of HTTP/1.0, like one of a proxy');
    if (!LOOPBACK_HOST.test(headers.host ?? '')) {
      throw forbidden('this request is for another host than localhost, 127.0.0.1 or [::1]');
    }
    if (isForeign(headers)) throw forbidden('a page of another site has sent this request');
  };
}

/** Whether a page of another origin in a browser has sent it: it needs no answer to do harm. */
function isForeign({ host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  return origin !== undefined && origin.replace(/^https?:\/\//, '') !== host;
}

function checkLoopback(address: string): void {
  if (!LOOPBACK.test(address)) throw forbidden(`this request came from ${address}`);
}

function forbidden(why: string): Refusal {
  return new Refusal(
    'forbidden',
    `No API key is set, so only this machine is answered, and ${why}. Start the server with --api-key to let others in, or with --internal-port to have a port for it.`,
  );
}
