/**
 * What the text of an option has to be: a network, an origin, a pattern, the name of a namespace.
 * An option that could be read in two ways, or that nothing could ever match, is not taken (V14).
 *
 * Not here: the options themselves (`options.ts`), what a refusal says (`config.ts`).
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

/**
 * A pattern as it is matched: against the whole name, and by characters of all scripts, so that
 * `\p{L}` is a letter. Throws SyntaxError for what is no pattern.
 */
export function wholePattern(source: string): RegExp {
  // By itself first, so that a bracket cannot end the group it is put into.
  new RegExp(source, 'u');
  return new RegExp(`^(?:${source})$`, 'u');
}

export function isPattern(text: string): boolean {
  try {
    wholePattern(text);
    return true;
  } catch {
    return false;
  }
}

/** Schemes that a page never has as its origin: it has the other one, or `null`. */
const NEVER_A_PAGE: ReadonlySet<string> = new Set([
  'ws:',
  'wss:',
  'ftp:',
  'file:',
  'data:',
  'blob:',
]);

/** Whether a browser could send this as `Origin`: of a page on the web nothing but scheme, host, port. */
export function isOrigin(text: string): boolean {
  if (text === 'null') return true;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\s,?#@*A-Z]+$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, origin } = new URL(text);
  if (NEVER_A_PAGE.has(protocol)) return false;
  return !/^https?:/.test(text) || origin === text;
}

/** The origin that was probably meant, or null. */
export function originOf(text: string): string | null {
  const asPage = text.replace(/^ws(s?):/i, 'http$1:');
  if (!URL.canParse(asPage)) return null;
  const { origin } = new URL(asPage);
  return isOrigin(origin) && origin !== 'null' ? origin : null;
}

/** Endings of names that are tried where it cannot be computed whether a namespace has any. */
const ENDINGS = ['', 'a', 'A', '0', '1', 'a1', 'lobby', '00000000-0000-4000-8000-000000000000'];

/** Whether a room of this namespace may have a name; null where none of those tried has, but one may. */
export function mayHaveRooms(
  namespace: string,
  pattern: RegExp,
  limits: { readonly roomNamePattern: string; readonly maxRoomNameLength: number },
): boolean | null {
  const { roomNamePattern, maxRoomNameLength: maxLength } = limits;
  const start = `${namespace}:`;
  if (start.length > maxLength) return false;
  // One class of characters, any number of times: each character can be asked about by itself.
  const [, only] = /^\^?(\[(?:[^\]\\]|\\.)*\])[+*]\$?$/.exec(roomNamePattern) ?? [];
  if (only !== undefined) {
    const one = wholePattern(only);
    return Array.from(start).every((character) => one.test(character));
  }
  const tried = ENDINGS.some((ending) => pattern.test(start + ending));
  return tried || pattern.test(start.repeat(Math.floor(maxLength / start.length))) ? true : null;
}

/**
 * The candidate that `name` was probably meant to be: the beginning of it, or with at most a third
 * of it mistyped, dashes, underscores and capitals aside. Null where none is near.
 */
export function closest(name: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const given = plain(name.slice(0, 100));
    const distance = given.startsWith(plain(candidate)) ? 1 : distanceOf(given, plain(candidate));
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

/** Letters to add, to leave out, to change or to swap with their neighbour. */
function distanceOf(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    const above = rows[i - 1]!;
    for (let j = 1; j <= b.length; j += 1) {
      const change = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, change);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, (rows[i - 2]?.[j - 2] ?? Infinity) + 1);
      }
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
