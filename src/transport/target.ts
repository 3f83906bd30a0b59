/**
 * Normalises the target and `Host` of a request. Upgrades, SockJS and the HTTP API use the same form, so
 * that none of them, nor a proxy in front, reads a target in another way (RFC 9112, 3.2).
 *
 * Not here: routing, authorisation.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Refusal } from '../errors.js';

const ABSOLUTE = /^https?:\/\/(?<host>[^/?#]*)(?<rest>.*)$/i;
/** A name, an IPv4 address or an IPv6 address in brackets, with a port or without. */
const HOST = /^(?:\[[\da-f:.]+\]|[^\s/?#@[\]:\\]*)(?::\d{0,5})?$/i;
/** Characters that mean the same when percent-encoded (RFC 3986, 6.2.2.2). */
const UNRESERVED = /[\w.~-]/;
const DOTS = /(?:^|\/)\.\.?(?:\/|$)/;

/** The class from which Node's parser creates requests. */
export type RequestClass = typeof IncomingMessage;

/** Decides which requests are upgrades. */
export interface UpgradeRule {
  /** `isOffered`: the peer offers an upgrade and the server listens for upgrades. */
  isUpgrade(request: IncomingMessage, isOffered: boolean): boolean;
  /** Called before the request is handed on: whether the parser has to stop after it. */
  isLast?(socket: Socket): boolean;
}

/**
 * Requests that decide themselves whether they are an upgrade; Node asks when the head is parsed. A
 * request after which the parser has to stop claims to be an upgrade, since only that stops it.
 */
export function upgradable(Base: RequestClass, rule: UpgradeRule): RequestClass {
  return class extends Base {
    #isOffered = false;
    #isLast = false;

    // Set when the head is parsed, and by Node's constructor, which runs before the fields exist.
    set upgrade(value: unknown) {
      if (!(#isLast in this)) return;
      this.#isOffered = value === true;
      this.#isLast ||= rule.isLast?.(this.socket) ?? false;
    }

    get upgrade(): boolean {
      return this.#isLast || rule.isUpgrade(this, this.#isOffered);
    }
  };
}

/** Ignores offers of protocols other than WebSocket, such as h2c: the request is answered normally. */
export const onlyWebSockets: UpgradeRule = {
  isUpgrade: (request, isOffered) => isOffered && isWebSocketUpgrade(request),
};

/** Whether the request opens a WebSocket. */
export function isWebSocketUpgrade({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Rewrites `url` and `headers.host` of a request to the normal form: a path in which unreserved
 * characters are not percent-encoded, and the query; the host asked for.
 *
 * @returns the error to answer with 400, if any
 */
export function normalise(request: IncomingMessage): Refusal | undefined {
  const { rawHeaders, headers } = request;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  if (hosts === 0 && request.httpVersion !== '1.0') return bad('The Host header is missing.');
  if (hosts > 1) return bad('There are two Host headers; send one.');
  let target = request.url ?? '';
  const absolute = target.startsWith('/') ? undefined : ABSOLUTE.exec(target)?.groups;
  if (absolute !== undefined) {
    headers.host = absolute['host'];
    const rest = absolute['rest'] as string;
    target = rest.startsWith('/') ? rest : `/${rest}`;
  }
  if (!HOST.test(headers.host ?? '')) return bad('The Host header is not a valid host.');
  if (target === '*' && request.method === 'OPTIONS') return undefined;
  if (!target.startsWith('/')) return bad('The target of the request is not a path.');
  const end = target.search(/[?#]/);
  const path = end < 0 ? target : target.slice(0, end);
  const decoded = path.includes('%') ? decodeUnreserved(path) : path;
  if (decoded === null) return bad('The path is not percent-encoded correctly.');
  if (DOTS.test(decoded))
    return bad('The path contains a segment . or ..; send the resolved path.');
  const query = end < 0 ? '' : (target.slice(end).split('#', 1)[0] as string);
  request.url = decoded + query;
  return undefined;
}

/** Null if a `%` is not followed by two hexadecimal digits. */
function decodeUnreserved(path: string): string | null {
  if (/%(?![\da-f]{2})/i.test(path)) return null;
  return path.replace(/%[\da-f]{2}/gi, (encoded) => {
    const char = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return UNRESERVED.test(char) ? char : encoded.toUpperCase();
  });
}

const bad = (message: string) => new Refusal('bad_command', message);
