/**
 * What a request asks for, in one form: the same for an upgrade, for SockJS and for the HTTP API, so
 * that none of them reads a target or a `Host` in another way than the others do, or than a proxy in
 * front has (RFC 9112, 3.2).
 *
 * Not here: what is at a path, who may ask for it.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Refusal } from '../errors.js';

const ABSOLUTE = /^https?:\/\/(?<host>[^/?#]*)(?<rest>.*)$/i;
/** A name, an IPv4 address or an IPv6 address in brackets, with a port or without. */
const HOST = /^(?:\[[\da-f:.]+\]|[^\s/?#@[\]:\\]*)(?::\d{0,5})?$/i;
/** Characters that mean the same when they are percent-encoded (RFC 3986, 6.2.2.2). */
const UNRESERVED = /[\w.~-]/;
const DOTS = /(?:^|\/)\.\.?(?:\/|$)/;

/** A class that the parser of Node makes requests of. */
export type RequestClass = typeof IncomingMessage;

/** What a server wants of the requests that its parser makes. */
export interface UpgradeRule {
  /** `isOffered`: the peer offers an upgrade and somebody listens for them. */
  isUpgrade(request: IncomingMessage, isOffered: boolean): boolean;
  /** Asked before the request is handed on: whether the parser is to stop behind it. */
  isLast?(socket: Socket): boolean;
}

/**
 * Requests that say themselves whether they are an upgrade: Node asks them when the head is read. One
 * behind which the parser is to stop says that it is, since an upgrade is what makes it stop.
 */
export function upgradable(Base: RequestClass, rule: UpgradeRule): RequestClass {
  return class extends Base {
    #isOffered = false;
    #isLast = false;

    // Set when the head is read, and by Node's own constructor, which comes before the fields.
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

/**
 * A request that offers to speak something else than WebSocket, such as h2c, is answered as if it
 * offered nothing.
 */
export const onlyWebSockets: UpgradeRule = {
  isUpgrade: (request, isOffered) => isOffered && isWebSocketUpgrade(request),
};

/** Whether this is the first request of a WebSocket. */
export function isWebSocketUpgrade({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Rewrites `url` and `headers.host` of a request to the one form: a path, with characters that need
 * no percent-encoding not encoded, and its query; the host that was asked for.
 *
 * @returns what is wrong with them, to be answered with 400.
 */
export function normalise(request: IncomingMessage): Refusal | undefined {
  const { rawHeaders, headers } = request;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] as string).toLowerCase() === 'host') hosts += 1;
  }
  if (hosts === 0 && request.httpVersion !== '1.0') return bad('The Host header is missing.');
  if (hosts > 1) return bad('There are two Host headers; send one.');
  let target = request.url ?? '';
  const absolute = ABSOLUTE.exec(target)?.groups;
  if (absolute !== undefined) {
    headers.host = absolute['host'];
    const rest = absolute['rest'] as string;
    target = rest.startsWith('/') ? rest : `/${rest}`;
  }
  if (!HOST.test(headers.host ?? '')) return bad('The Host header is no host.');
  if (target === '*' && request.method === 'OPTIONS') return undefined;
  if (!target.startsWith('/')) return bad('The target of the request is no path.');
  const end = target.search(/[?#]/);
  const path = end < 0 ? target : target.slice(0, end);
  const decoded = path.includes('%') ? decodeUnreserved(path) : path;
  if (decoded === null) return bad('The path is not percent-encoded.');
  if (DOTS.test(decoded)) return bad('The path has the segments . or ..; write what they lead to.');
  const query = end < 0 ? '' : (target.slice(end).split('#', 1)[0] as string);
  request.url = decoded + query;
  return undefined;
}

/** null where a `%` is not followed by two hexadecimal digits. */
function decodeUnreserved(path: string): string | null {
  if (/%(?![\da-f]{2})/i.test(path)) return null;
  return path.replace(/%[\da-f]{2}/gi, (encoded) => {
    const char = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return UNRESERVED.test(char) ? char : encoded.toUpperCase();
  });
}

const bad = (message: string) => new Refusal('bad_command', message);
