/**
 * Resolves a request's client address behind trusted proxies, and normalises addresses.
 *
 * Proxies write addresses in many ways: with a port, in brackets, IPv4 in IPv6, in several header lines,
 * as `unknown` or as an own name (RFC 7239, 6). All forms are parsed and normalised. An entry that
 * cannot be parsed ends the search, since nothing before it can be trusted.
 */
import type { IncomingMessage } from 'node:http';
import { type BlockList, isIP, type Socket, SocketAddress } from 'node:net';
import { ownText } from '../own-text.js';

/** Maximum chain of proxies followed; entries beyond are ignored. */
const MAX_HOPS = 32;

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/**
 * The normal form of an address: IPv6 in its shortest lower-case form, IPv4 without the IPv6 prefix, no
 * zone. Empty if the text is not an address.
 */
export function canonical(text: string): string {
  const [address = ''] = text.split('%', 1);
  const family = isIP(address);
  if (family !== 6) return family === 4 ? ownText(address) : '';
  const short = new SocketAddress({ address, family: 'ipv6' }).address;
  return MAPPED.exec(short)?.[1] ?? short;
}

/** The address of the peer of the connection. */
export function directAddressOf(socket: Pick<Socket, 'remoteAddress'>): string {
  return canonical(socket.remoteAddress ?? '');
}

/**
 * The nearest address that is not a trusted proxy. Reads `X-Forwarded-For` or `Forwarded` from the
 * right, as long as each hop is trusted to report the one before it. If both headers are present and
 * disagree, one was not written by the proxy, and neither is used.
 */
export function addressOf(request: IncomingMessage, trusted: BlockList): string {
  const direct = directAddressOf(request.socket);
  const { 'x-forwarded-for': list, forwarded } = request.headers;
  if (list === undefined && forwarded === undefined) return direct;
  if (!isTrusted(direct, trusted)) return direct;
  const found = new Set<string>();
  if (list !== undefined) found.add(behind(direct, fromRight(String(list), ','), trusted));
  if (forwarded !== undefined) {
    found.add(behind(direct, fromRight(forwarded, ',').map(forOf), trusted));
  }
  const [address = direct] = found;
  return found.size === 1 ? address : direct;
}

export function isTrusted(address: string, trusted: BlockList): boolean {
  const family = isIP(address);
  return family !== 0 && trusted.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * The network used to count peers: an IPv4 address, or the first 64 bits of an IPv6 address, since a
 * host with one such address has them all.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail = ''] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}

/** Follows the hops, nearest first, to the first that is not trusted. */
function behind(direct: string, hops: readonly string[], trusted: BlockList): string {
  let address = direct;
  for (const each of hops) {
    const hop = addressIn(each);
    if (hop === '') break;
    address = hop;
    if (!isTrusted(address, trusted)) break;
  }
  return address;
}

/** The address in an entry such as `1.2.3.4:5`, `"[2001:db8::1]:5"` or `2001:db8::1`; else empty. */
function addressIn(written: string): string {
  const text = unquoted(written.trim());
  const bracketed = /^\[([^\]]*)\](?::\w+)?$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? canonical(bracketed) : '';
  return canonical(/^(\d+\.\d+\.\d+\.\d+):\w+$/.exec(text)?.[1] ?? text);
}

/** The `for` of one element of `Forwarded`; empty if absent. */
function forOf(element: string): string {
  for (const pair of fromRight(element, ';')) {
    const value = /^\s*for\s*=(.*)$/is.exec(pair)?.[1];
    if (value !== undefined) return value;
  }
  return '';
}

function unquoted(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

/**
 * The parts of a list, last first, at most `MAX_HOPS`. Separators in quotes are ignored. Reading from
 * the right, an unclosed quote from a client does not reach the entries of the nearest proxies.
 */
function fromRight(text: string, separator: ',' | ';'): string[] {
  const parts: string[] = [];
  let end = text.length;
  let isQuoted = false;
  for (let i = end - 1; i >= 0 && parts.length < MAX_HOPS; i -= 1) {
    const char = text[i];
    if (char === '"') isQuoted = !isQuoted;
    else if (char === separator && !isQuoted) {
      parts.push(text.slice(i + 1, end));
      end = i;
    }
  }
  if (parts.length < MAX_HOPS) parts.push(text.slice(0, end));
  return parts;
}
