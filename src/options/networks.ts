/**
 * Networks as options have them: an address, or a network that is written in one way only, so that
 * none is taken which could never match (V14).
 */
import { BlockList, isIP } from 'node:net';

/** @throws when one is neither an address nor a network with a prefix. */
export function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix, ...rest] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else if (/^\d+$/.test(prefix) && rest.length === 0) {
      list.addSubnet(address, Number(prefix), family);
    } else throw new RangeError('The prefix is not a number.');
  }
  return list;
}

/** An address, or a network whose address has nothing set behind its prefix. */
export function isNetwork(text: string): boolean {
  try {
    blockList([text]);
  } catch {
    return false;
  }
  return networkOf(text) === text;
}

/**
 * The network as it has to be written: without what stands behind its prefix, and an IPv4 network
 * as such, since peers' addresses are. Null for what is none.
 */
export function networkOf(text: string): string | null {
  try {
    blockList([text]);
  } catch {
    return null;
  }
  const [address = '', prefix] = text.split('/');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) {
    if (prefix === undefined) return mapped;
    return Number(prefix) < 96 ? null : networkOf(`${mapped}/${Number(prefix) - 96}`);
  }
  if (prefix === undefined) return text;
  const groups = groupsOf(address);
  const width = isIP(address) === 6 ? 16 : 8;
  const isBare = groups.every((group, i) => {
    const kept = Math.min(width, Math.max(0, Number(prefix) - i * width));
    return (group & ((1 << (width - kept)) - 1)) === 0;
  });
  if (isBare) return text;
  const bare = groups.map((group, i) => {
    const kept = Math.min(width, Math.max(0, Number(prefix) - i * width));
    return (group >> (width - kept)) << (width - kept);
  });
  const written =
    width === 8
      ? bare.join('.')
      : new URL(`http://[${bare.map((group) => group.toString(16)).join(':')}]`).hostname.slice(
          1,
          -1,
        );
  return `${written}/${Number(prefix)}`;
}

/** Four numbers of an IPv4 address, eight of an IPv6 one. */
function groupsOf(address: string): number[] {
  if (isIP(address) !== 6) return address.split('.').map(Number);
  // The one thing in Node that writes an address out: as a URL has it, with at most one `::`.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const parse = (part: string) =>
    part === '' ? [] : part.split(':').map((hex) => parseInt(hex, 16));
  const before = parse(head);
  const after = parse(tail ?? '');
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}
