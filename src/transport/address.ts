/** Whose address a request is from, where proxies stand in front. */
import type { IncomingMessage } from 'node:http';
import { type BlockList, isIP } from 'node:net';

const normal = (address: string): string =>
  address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;

/**
 * The nearest address that is not a trusted proxy: `X-Forwarded-For` is read from the right, as
 * far as each hop is trusted to have told the truth about the one before it.
 */
export function addressOf(request: IncomingMessage, trusted: BlockList): string {
  let address = normal(request.socket.remoteAddress ?? '');
  const forwarded = String(request.headers['x-forwarded-for'] ?? '').split(',');
  while (isTrusted(address, trusted)) {
    const hop = normal(forwarded.pop()?.trim() ?? '');
    if (isIP(hop) === 0) break;
    address = hop;
  }
  return address;
}

function isTrusted(address: string, trusted: BlockList): boolean {
  const family = isIP(address);
  return family !== 0 && trusted.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
