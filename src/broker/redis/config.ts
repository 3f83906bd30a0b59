/** What the broker over Redis is given. */
import type { HistoryPolicy } from '../../options/config.js';
import type { Kept, RedisCounts } from './numbers.js';

export interface RedisConfig {
  /** As `redisUrl` has it. */
  readonly url: string;
  /** What all nodes that share rooms have in common. */
  readonly clusterName: string;
  /** What is kept of each room in any case, so that a cut between Redis and a node costs nothing. */
  readonly kept: Omit<Kept, 'bytes'>;
  /** What members are given of a room's past; nothing without. */
  history?(room: string): HistoryPolicy;
  readonly idleRoomMs: number;
  readonly tickMs: number;
  readonly positionCheckMs: number;
  /** How many come up again over another link, at most. */
  readonly resumeRoomsPerSecond: number;
  /** How long a connection may take to be made, and the longest deadline of a publish. */
  readonly timeoutMs: number;
}

/** What happens at the broker, for the log. */
export interface RedisEvents {
  /** `cost`: what all links before have come to. */
  linked(cost: RedisCounts): void;
  /** The link has ended, or could not be made. `isOurs`: no retry mends it before the operator does. */
  unlinked(cause: Error, isOurs: boolean): void;
  /** How Redis is set up, where that is a risk. */
  advice(text: string): void;
}
