/**
 * Networks in options: addresses, and networks in one canonical notation, so that a network that could
 * never match is rejected (V14).
 */
import { BlockList, isIP } from 'node:net';

/** @throws if an item is neither an address nor a network with a prefix. */
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

/** Whether the text is an address, or a network without host bits. */
export function isNetwork(text: string): boolean {
  try {
    blockList([text]);
  } catch {
    return false;
  }
  return networkOf(text) === text;
}

/**
 * The canonical notation: without host bits, and an IPv4-mapped network as IPv4, since peers' addresses
 * are IPv4 too. Null if the text is not a network.
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

/** The four numbers of an IPv4 address, or the eight of an IPv6 one. */
function groupsOf(address: string): number[] {
  if (isIP(address) !== 6) return address.split('.').map(Number);
  // Node normalises an IPv6 address only as part of a URL, with at most one `::`.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const parse = (part: string) =>
    part === '' ? [] : part.split(':').map((hex) => parseInt(hex, 16));
  const before = parse(head);
  const after = parse(tail ?? '');
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}
