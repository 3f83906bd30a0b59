/**
 * Parses what the scripts publish and answer about who is in a room (`board-scripts.ts`). Whoever may
 * write to our keys is trusted; a malformed message is refused as a whole.
 */
import { ownText } from '../../own-text.js';
import type { Share } from '../broker.js';
import { NODE_LENGTH } from './board-scripts.js';

/** A change of the shares of one node. */
interface Told {
  /** The version of the room's hash after it. */
  readonly v: number;
  readonly node: string;
  /** These are all its shares. */
  readonly isWhole: boolean;
  readonly shares: readonly Share[];
}

const MESSAGE = /^(?<v>\d+) (?<node>\S+) (?<isWhole>[01]) (?<json>.*)$/s;

/** Null for a malformed message. */
export function parseTold(text: string): Told | null {
  const { v, node, isWhole, json } = MESSAGE.exec(text)?.groups ?? {};
  if (node === undefined || json === undefined) return null;
  const shares = parse(json);
  if (!Array.isArray(shares) || !shares.every(isShare)) return null;
  return { v: Number(v), node: ownText(node), isWhole: isWhole === '1', shares };
}

/** Shares by node, from the fields of a room's hash. Calls `unreadable` for each malformed one. */
export function sharesOf(fields: readonly string[], unreadable: () => void): Map<string, Share[]> {
  const all = new Map<string, Share[]>();
  for (let i = 0; i < fields.length; i += 2) {
    const node = ownText((fields[i] as string).slice(0, NODE_LENGTH));
    const share = parse(fields[i + 1] as string);
    const shares = all.get(node);
    if (!isShare(share)) unreadable();
    else if (shares === undefined) all.set(node, [share]);
    else shares.push(share);
  }
  return all;
}

function isShare(value: unknown): value is Share {
  if (typeof value !== 'object' || value === null) return false;
  const { user, connections, since, at, info } = value as Record<keyof Share, unknown>;
  return (
    (user === null || typeof user === 'string') &&
    (connections === null || (Number.isSafeInteger(connections) && Number(connections) >= 0)) &&
    Number.isFinite(since) &&
    Number.isFinite(at) &&
    (info === undefined || (typeof info === 'string' && parse(info) !== undefined))
  );
}

/** Undefined if it is not JSON. */
function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
