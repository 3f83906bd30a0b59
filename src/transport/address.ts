/**
 * Whose address a request is from, where proxies stand in front, and how addresses are compared.
 *
 * Proxies write addresses in many ways: with a port, in brackets, IPv4 in IPv6, in several header
 * lines, as `unknown` or as a name of their own (RFC 7239, 6). All of them are read here, and come
 * out in one form. What cannot be read ends the search: nobody's word is taken for what is behind it.
 */
import type { IncomingMessage } from 'node:http';
import { type BlockList, isIP, type Socket, SocketAddress } from 'node:net';
import { ownText } from '../own-text.js';

/** Proxies in a row that are followed; who has more of them in front is not looked for. */
const MAX_HOPS = 32;

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/**
 * The one way an address is written here: IPv6 in lower case and at its shortest, IPv4 without the
 * IPv6 around it, no zone. Empty for anything that is not an address.
 */
export function canonical(text: string): string {
  const [address = ''] = text.split('%', 1);
  const family = isIP(address);
  if (family !== 6) return family === 4 ? ownText(address) : '';
  const short = new SocketAddress({ address, family: 'ipv6' }).address;
  return MAPPED.exec(short)?.[1] ?? short;
}

/** The address at the other end of the connection. */
export function directAddressOf(socket: Pick<Socket, 'remoteAddress'>): string {
  return canonical(socket.remoteAddress ?? '');
}

/**
 * The nearest address that is not a trusted proxy. `X-Forwarded-For` or `Forwarded` is read from the
 * right, as far as each hop is trusted to have told the truth about the one before it. Where both
 * are there and say different things, one was not written by the proxy, and neither is believed.
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
 * What stands for one peer where addresses are counted: an IPv4 address, or the first 64 bits of an
 * IPv6 address, since whoever has one has all that share them.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail = ''] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}

/** Follows the hops, the nearest first, to the first that is not trusted. */
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

/** The address in what a proxy wrote: `1.2.3.4:5`, `"[2001:db8::1]:5"`, `2001:db8::1`. Else empty. */
function addressIn(written: string): string {
  const text = unquoted(written.trim());
  const bracketed = /^\[([^\]]*)\](?::\w+)?$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? canonical(bracketed) : '';
  return canonical(/^(\d+\.\d+\.\d+\.\d+):\w+$/.exec(text)?.[1] ?? text);
}

/** The `for` of one element of `Forwarded`; empty without one. */
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
 * The parts of a list, the last first, at most `MAX_HOPS`. A separator in quotes is none. The last
 * were written by the nearest proxies: a quote that a peer left open does not reach them.
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
