/**
 * Access to /v1. With API keys: requests with a key. Without: requests from this machine only. Refused
 * even then: browser pages of other sites, also by DNS rebinding, and proxies that forward requests of
 * others.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BlockList, type Socket } from 'node:net';
import { Refusal } from '../errors.js';
import { type Config, trustedProxies } from '../options/config.js';
import { addressOf } from '../transport/address.js';
import type { HttpDeps } from './deps.js';

/** Throws a `Refusal` if the request is not allowed. */
export type Guard = (request: IncomingMessage) => void;

export function createGuard(config: Config): Guard {
  const local = loopbackGuard(config);
  let keys = config.apiKey;
  let withKey = keyGuard(keys);
  return (request) => {
    // The keys of a running server may change.
    if (config.apiKey !== keys) {
      keys = config.apiKey;
      withKey = keyGuard(keys);
    }
    (keys.length > 0 ? withKey : local)(request);
  };
}

/** Paths open to all. Health checks must work from anywhere, and pages of any origin load the client. */
const OPEN = /^\/(?:healthz|readyz|client\.js)(?:\?|$)/;

/**
 * Access to metrics and pages, and to the API as a whole. With an internal port all of it is served only
 * there; metrics and pages then need no key. Otherwise, without API keys, they follow the rule of /v1.
 * With API keys, metrics need a key; pages are open to all, since they ask for the key themselves.
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
    // /v1 has its own guard, except for its OpenAPI document.
    if (url.startsWith('/v1/') && !url.startsWith('/v1/openapi.json')) return true;
    if (config.apiKey.length === 0) local(request);
    else if (url.startsWith('/metrics')) metrics(request);
    return true;
  };
}

/** Digests have equal length and all are compared, so the timing reveals neither a key nor its place. */
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
    if (matches === 0) throw new Refusal('unauthorised', 'The API key is not valid.');
  };
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1)$/;
const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;
/** Headers that proxies add. `X-Forwarded-For` is believed only from the proxies in `trustProxy`. */
const FORWARDING = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'] as const;

function loopbackGuard(config: Config): Guard {
  const proxies = trustedProxies(config);
  const nobody = new BlockList();
  /** Sockets already checked. Checking the address costs more than the rest of the guard. */
  const local = new WeakSet<Socket>();
  return (request) => {
    const { headers, socket } = request;
    const forwarding = FORWARDING.find((name) => headers[name] !== undefined);
    if (forwarding !== undefined) {
      const address = addressOf(request, proxies);
      // A trusted proxy has named the original client. Any other proxy hides it.
      if (address === addressOf(request, nobody)) {
        throw forbidden(`this request came through a proxy (it has ${forwarding})`);
      }
      checkLoopback(address);
    } else if (!local.has(socket)) {
      checkLoopback(addressOf(request, nobody));
      local.add(socket);
    }
    // Simple proxies use HTTP/1.0; current browsers and tools do not.
    if (request.httpVersion === '1.0')
      throw forbidden('this request uses HTTP/1.0, as some proxies do');
    if (!LOOPBACK_HOST.test(headers.host ?? '')) {
      throw forbidden('the Host header is not localhost, 127.0.0.1 or [::1]');
    }
    if (isForeign(headers)) throw forbidden('a page of another site sent this request');
  };
}

/**
 * Whether a browser page of another origin sent the request. Such a request can do harm even if the page
 * cannot read the answer.
 */
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
    `No API key is set, so only requests from this machine are answered, and ${why}. Set --api-key to answer others, or --internal-port to serve this on a separate port.`,
  );
}
