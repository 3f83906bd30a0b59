/**
 * The options of one worker: what is a bound of all is divided, so that V3 holds for the machine as it
 * does for a process.
 */
import type { Config } from '../options/config.js';

/** Divided so that the shares come to the whole, with no less than 1: 0 is no limit for all, or none, and only so for each. */
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
  // The system spreads the connections of one address, but not evenly.
  const each = Math.ceil(config.maxConnectionsPerAddress / slots);
  return { ...config, ...own, maxConnectionsPerAddress: each + Math.ceil(each / 8) };
}
