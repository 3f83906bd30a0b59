/**
 * Options of one worker. Limits that apply to the whole server are divided among the workers, so that
 * V3 holds for the machine.
 */
import type { Config } from '../options/config.js';

/**
 * Divided so that the shares add up to the total, with at least 1 each. 0 means no limit, or none at
 * all, and stays 0.
 */
const DIVIDED = [
  'maxConnections',
  'maxRooms',
  'queueBytesTotal',
  'historyBytesTotal',
  'idleRooms',
] as const satisfies readonly (keyof Config)[];

/** `slot` is from 0. */
export function shareOf(config: Config, slot: number, slots: number): Config {
  const own: Record<string, number> = {};
  for (const name of DIVIDED) {
    const all = config[name];
    const share = Math.floor(all / slots) + (slot < all % slots ? 1 : 0);
    own[name] = Math.max(share, Math.min(all, 1));
  }
  // Connections are handed out in turn, not by address, so one worker may get more of an address: each
  // worker allows an eighth more.
  const each = Math.ceil(config.maxConnectionsPerAddress / slots);
  return { ...config, ...own, maxConnectionsPerAddress: each + Math.ceil(each / 8) };
}
